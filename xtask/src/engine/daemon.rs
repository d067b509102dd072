//! A `dockerd` of our own: its process and its files.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use taskmaster_embedded::Guard;

use crate::process::say;

/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an engine may take to say that it is there: one that hangs is not.
const PING: Duration = Duration::from_secs(10);
/// How long it may take to end. It gives its containers the time that each asks for, of ours a minute at most.
const END: Duration = Duration::from_secs(90);

/// Our engine's process, with a containerd that it starts itself.
pub(super) struct Daemon {
    process: Child,
}

impl Daemon {
    /// Starts it, with everything in `folder`, and waits until it answers.
    pub(super) fn start(dockerd: &Path, folder: &Path, host: &str) -> Result<Self> {
        let (run, pid_file) = (folder.join("run"), folder.join("docker.pid"));
        for file in [&pid_file, &run.join("containerd/containerd.pid")] {
            remove_stale(file)?;
        }
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
            .arg(run)
            .arg("--pidfile")
            .arg(pid_file)
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

    /// Waits until it ends.
    ///
    /// # Errors
    /// When it ends in another way than by being told to.
    pub(super) fn wait(&mut self) -> Result<()> {
        let status = self.process.wait()?;
        ensure!(status.success(), "dockerd ended: {status}");
        Ok(())
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
    #[expect(
        clippy::disallowed_methods,
        reason = "no runtime here, and the standard library waits for a process only without a limit"
    )]
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            // It stops its containers and its containerd first.
            kill_process(Pid::from_child(&self.process), Signal::TERM).ok();
        }
        let deadline = Instant::now() + END;
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                say("WARNING: the Docker engine does not end, and is killed");
                self.process.kill().ok();
                self.process.wait().ok();
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Removes a file that names a process of an engine before, which has ended. Unlike those of other services it is not in a
/// folder that is empty after a power loss, and whatever process has the number by then would keep dockerd from starting.
fn remove_stale(pid_file: &Path) -> Result<()> {
    let Ok(pid) = fs::read_to_string(pid_file) else {
        return Ok(());
    };
    let name = fs::read_to_string(format!("/proc/{}/comm", pid.trim())).unwrap_or_default();
    if !["dockerd", "containerd"].contains(&name.trim()) {
        fs::remove_file(pid_file).with_context(|| pid_file.display().to_string())?;
    }
    Ok(())
}

/// Whether an engine answers at `socket`, within ten seconds.
pub(super) fn answers_ping(socket: &Path) -> std::io::Result<bool> {
    use std::io::{Read, Write};
    let mut connection = std::os::unix::net::UnixStream::connect(socket)?;
    connection.set_read_timeout(Some(PING))?;
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

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_pid_file_stays_only_while_it_names_an_engine() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("docker.pid");
        let stays = |pid: &str| {
            fs::write(&file, pid).unwrap();
            remove_stale(&file).unwrap();
            file.exists()
        };
        // Of another program; of nobody, as the kernel gives no such number; cut off by the power loss.
        assert!(!stays(&std::process::id().to_string()));
        assert!(!stays("4194305"));
        assert!(!stays(""));

        let dockerd = folder.path().join("dockerd");
        std::os::unix::fs::symlink("/bin/sh", &dockerd).unwrap();
        let mut engine = Command::new(&dockerd)
            .args(["-c", "echo; read _; exit"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It has its name a moment after it was started.
        let mut said = [0];
        std::io::Read::read_exact(&mut engine.stdout.take().unwrap(), &mut said).unwrap();
        assert!(stays(&engine.id().to_string()));
        drop(engine.stdin.take());
        engine.wait().unwrap();
    }
}
