//! A Docker engine for the time of one command: the one that answers at `DOCKER_HOST` or where engines usually listen,
//! else a `dockerd` of our own.
//!
//! Ours keeps everything in one folder outside the checkout, so that a fresh clone finds the images of the last one, and
//! is stopped with the command, also when that is killed. It runs on Linux, as root.

mod daemon;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use crate::process::{find, output, say};
use daemon::{Daemon, answers_ping};

/// Where the machine's own engine listens.
const USUAL: &str = "unix:///var/run/docker.sock";

/// What a machine without an engine lacks, in words.
pub(crate) const NEEDED: &str =
    "a Docker engine that answers (or dockerd, and root to start one): see DOCKER_HOST";

/// A Docker engine that answers.
pub(crate) struct Engine {
    host: String,
    client: PathBuf,
    /// If it is ours: stopped when this is dropped.
    daemon: Option<Daemon>,
}

impl Engine {
    /// The engine that answers, else one of our own; `None` where there is none and none can be started.
    ///
    /// # Errors
    /// When ours does not start: why.
    pub(crate) fn obtain() -> Result<Option<Self>> {
        let folder = folder()?;
        let ours = format!("unix://{}", folder.join("docker.sock").display());
        let named = std::env::var("DOCKER_HOST").ok();
        let named = named.filter(|host| !host.is_empty());
        // Ours too: another command may have started it.
        for host in [named.as_deref().unwrap_or(USUAL), &ours] {
            if let Some(engine) = Self::answering(host) {
                return Ok(Some(engine));
            }
        }
        if let Some(host) = named {
            say(format!("WARNING: no Docker engine answers at {host}"));
        }
        let (Some(dockerd), true) = (find("dockerd"), geteuid().is_root()) else {
            return Ok(None);
        };
        make(&folder)?;
        let daemon = Daemon::start(&dockerd, &folder, &ours)?;
        let mut engine = Self::answering(&ours).context("the Docker engine does not answer")?;
        engine.daemon = Some(daemon);
        Ok(Some(engine))
    }

    /// The engine at `host`, if one answers there to a client of this machine.
    fn answering(host: &str) -> Option<Self> {
        let (client, version) = clients()
            .into_iter()
            .find_map(|client| Some((client.clone(), version(&client, host)?)))?;
        say(format!("Docker engine {version} at {host}"));
        Some(Self {
            host: host.to_owned(),
            client,
            daemon: None,
        })
    }

    /// Where it is, as `DOCKER_HOST` names it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// Docker's client.
    pub(crate) fn client(&self) -> &Path {
        &self.client
    }

    /// Where it listens, if it is one that we start.
    pub(crate) fn own_socket(&self) -> Option<String> {
        let socket = folder().ok()?.join("docker.sock");
        let socket = socket.to_string_lossy();
        (self.host == format!("unix://{socket}")).then(|| socket.into_owned())
    }

    /// A command of Docker's client.
    pub(crate) fn docker<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(&self.client);
        command
            .args(arguments)
            .env("DOCKER_HOST", &self.host)
            // The builder that every engine has, and that docker-compose 1.29 means.
            .env("DOCKER_BUILDKIT", "0");
        command
    }

    /// Waits until our engine ends; at once if it is not ours.
    ///
    /// # Errors
    /// When it ends in another way than by being told to.
    pub(crate) fn wait(&mut self) -> Result<()> {
        if let Some(daemon) = &mut self.daemon {
            daemon.wait()?;
        }
        Ok(())
    }

    /// One that `client` is asked for.
    #[cfg(test)]
    pub(crate) fn of(host: String, client: PathBuf) -> Self {
        let daemon = None;
        Self {
            host,
            client,
            daemon,
        }
    }
}

/// Waits until no other command makes images or runs tests on the engine, and keeps others waiting until this is dropped:
/// each would take what the other's tests run for left over, and the first to end would stop the engine of both. To be had
/// before the engine, and dropped after it.
///
/// # Errors
/// When the folder cannot be written to.
pub(crate) fn alone() -> Result<File> {
    lock(&folder()?)
}

fn lock(folder: &Path) -> Result<File> {
    make(folder)?;
    let file = folder.join("lock");
    let lock = File::create(&file).with_context(|| file.display().to_string())?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say(format!(
                "waiting until another command no longer uses the Docker engine: it holds {}",
                file.display()
            ));
            lock.lock()?;
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| file.display().to_string());
        }
    }
    Ok(lock)
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// All of Docker's clients on the path: a newer one may refuse an older engine.
fn clients() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin".into()])
        .map(|folder| folder.join("docker"))
        .filter(|file| file.is_file())
        .collect()
}

/// The version of the engine at `host`, if one answers there to `client`.
fn version(client: &Path, host: &str) -> Option<String> {
    // Docker's client waits without end for one that hangs.
    if let Some(socket) = host.strip_prefix("unix://")
        && !answers_ping(Path::new(socket)).is_ok_and(|answers| answers)
    {
        return None;
    }
    let format = ["version", "--format", "{{.Server.Version}}"];
    let version = output(Command::new(client).args(["--host", host]).args(format)).ok()?;
    Some(version.trim().to_owned())
}

/// Does an engine answer here, ours aside?
pub(crate) fn is_there() -> bool {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| USUAL.to_owned());
    clients()
        .iter()
        .any(|client| version(client, &host).is_some())
}

/// Where our engine keeps everything: `TASKMASTER_DOCKER_ROOT`, or a folder of the user's cache.
///
/// # Errors
/// When there is no home folder.
pub(crate) fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("TASKMASTER_DOCKER_ROOT") {
        return std::path::absolute(folder).context("TASKMASTER_DOCKER_ROOT");
    }
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) if Path::new(&cache).is_absolute() => cache.into(),
        _ => std::env::home_dir()
            .context("there is no home folder: set TASKMASTER_DOCKER_ROOT")?
            .join(".cache"),
    };
    Ok(cache.join("taskmaster/docker"))
}

/// What `cargo xtask engine` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run this with DOCKER_HOST set to the engine, instead of waiting for Ctrl-C.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs a command with an engine, or only the engine.
///
/// # Errors
/// When there is none, or the command fails.
pub(crate) fn run_engine(arguments: &Arguments) -> Result<()> {
    let Some(mut engine) = Engine::obtain()? else {
        bail!("this machine lacks {NEEDED}");
    };
    if engine.own_socket().is_some() && engine.daemon.is_none() {
        say("another command has started this engine: it ends with that one");
    }
    if let [program, rest @ ..] = &arguments.command[..] {
        let mut command = Command::new(program);
        command.args(rest).env("DOCKER_HOST", engine.host());
        return crate::process::run(&mut command);
    }
    say(format!("export DOCKER_HOST={}", engine.host()));
    engine.wait()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_command_at_a_time_has_the_engine() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let second = File::open(folder.path().join("lock")).unwrap();
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(first);
        second.try_lock().unwrap();
    }

    #[test]
    fn an_engine_that_answers_nothing_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("docker.sock");
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let silent = std::thread::spawn(move || listener.accept().map(drop));
        // It would print what it is asked, as if that were the version.
        let client = Path::new("echo");
        assert_eq!(
            version(client, &format!("unix://{}", socket.display())),
            None
        );
        silent.join().unwrap().unwrap();
        assert!(version(client, "tcp://127.0.0.1:1").is_some());
    }
}
