//! A Docker engine for the time of one command: the one that answers at `DOCKER_HOST` or where engines usually listen,
//! else a `dockerd` of our own.
//!
//! Ours keeps everything in one folder outside the checkout, so that a fresh clone finds the images of the last one, and
//! is stopped with the command, also when that is killed. It runs on Linux, as root.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use taskmaster_embedded::Guard;

use crate::process::{find, output, say};

/// Where the machine's own engine listens.
const USUAL: &str = "unix:///var/run/docker.sock";
const PATIENCE: Duration = Duration::from_secs(60);

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
    /// When it cannot be waited for.
    pub(crate) fn wait(&mut self) -> Result<()> {
        if let Some(daemon) = &mut self.daemon {
            daemon.process.wait()?;
        }
        Ok(())
    }
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

/// Our engine's process, with a containerd that it starts itself.
struct Daemon {
    process: Child,
}

impl Daemon {
    /// Starts it, and waits until it answers.
    fn start(dockerd: &Path, folder: &Path, host: &str) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        // Whatever the machine's own engine is told.
        let configuration = folder.join("daemon.json");
        fs::write(&configuration, "{}\n")?;
        let log_file = folder.join("dockerd.log");
        let log = File::create(&log_file)?;
        say(format!("starting a Docker engine in {}", folder.display()));
        let process = Guard::Setpriv
            .command(Signal::TERM, dockerd)
            .arg("--config-file")
            .arg(configuration)
            .args(["--host", host, "--data-root"])
            .arg(folder.join("data"))
            .arg("--exec-root")
            .arg(folder.join("run"))
            // One that is there names a process that still runs, and then dockerd does not start.
            .arg("--pidfile")
            .arg(folder.join("docker.pid"))
            // If a containerd runs on this machine, dockerd uses that: then under names of our own.
            .args(["--containerd-namespace", "taskmaster"])
            .args(["--containerd-plugins-namespace", "taskmaster-plugins"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // The terminal's Ctrl-C reaches only us.
            .process_group(0)
            .spawn()
            .context("cannot start dockerd")?;
        let mut daemon = Self { process };
        daemon.wait_until_ready(&folder.join("docker.sock"), &log_file)?;
        Ok(daemon)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "no runtime here, and nothing to wait on: the engine is another process"
    )]
    fn wait_until_ready(&mut self, socket: &Path, log_file: &Path) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                bail!("dockerd ended: {status}\n{}", last_lines(log_file));
            }
            if answers_ping(socket).is_ok_and(|answers| answers) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        bail!(
            "dockerd did not answer after {} s\n{}",
            PATIENCE.as_secs(),
            last_lines(log_file)
        )
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It stops its containers and its containerd first.
        kill_process(Pid::from_child(&self.process), Signal::TERM).ok();
        self.process.wait().ok();
    }
}

fn answers_ping(socket: &Path) -> std::io::Result<bool> {
    use std::io::{Read, Write};
    let mut connection = std::os::unix::net::UnixStream::connect(socket)?;
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    connection.write_all(b"GET /_ping HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer.contains(" 200 "))
}

fn last_lines(log_file: &Path) -> String {
    let log = fs::read_to_string(log_file).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
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
    if let [program, rest @ ..] = &arguments.command[..] {
        let mut command = Command::new(program);
        command.args(rest).env("DOCKER_HOST", engine.host());
        return crate::process::run(&mut command);
    }
    say(format!("export DOCKER_HOST={}", engine.host()));
    engine.wait()
}
