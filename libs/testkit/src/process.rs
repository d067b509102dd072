//! A process that a test started: its output in a file, and an end in any case.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::eventually;

/// A running process. Killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with everything it prints going to the file `log`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {:?}", command.as_std()))?;
        Ok(Self {
            child,
            log: log.to_owned(),
        })
    }

    /// Its id, as long as it was not waited for.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// What it has printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has printed this.
    ///
    /// # Errors
    /// When it has not within a minute: what it has printed instead.
    pub async fn until_logged(&self, text: &str) -> Result<()> {
        eventually(&format!("{text:?} is in the log"), async || {
            let log = self.log();
            Ok(if log.contains(text) { Ok(()) } else { Err(log) })
        })
        .await
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is not there any more.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().context("the process has ended")?;
        let pid = Pid::from_raw(pid.cast_signed()).context("no process id")?;
        kill_process(pid, signal).context("cannot signal the process")
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it does not end within a minute.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        tokio::time::timeout(std::time::Duration::from_secs(60), self.child.wait())
            .await
            .with_context(|| format!("the process did not end:\n{}", self.log()))?
            .context("cannot wait for the process")
    }

    /// Ends it as a power cut would, and waits until it is gone.
    ///
    /// # Errors
    /// When it is not there any more.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.start_kill()?;
        self.wait().await?;
        Ok(())
    }
}
