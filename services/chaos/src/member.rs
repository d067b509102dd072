//! One process of the system: started, hurt, started again.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// A service of the executable under test.
#[derive(Debug)]
pub(crate) struct Member {
    name: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    log: PathBuf,
    /// Where in the log its last start begins.
    log_start: u64,
    child: Option<Child>,
}

impl Member {
    /// One that is not started yet. Everything that it says goes to `NAME.log` in `logs`.
    pub(crate) fn new(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
        envs: Vec<(OsString, OsString)>,
        logs: &Path,
    ) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_owned(),
            arguments: arguments.into_iter().map(Into::into).collect(),
            envs,
            log: logs.join(format!("{name}.log")),
            log_start: 0,
            child: None,
        }
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(&mut self) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot write {}", self.log.display()))?;
        self.log_start = log.metadata()?.len();
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.envs.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // The terminal's Ctrl-C is for us; we stop it in our order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.as_ref().and_then(Child::id);
        let pid = pid.and_then(|pid| Pid::from_raw(pid.cast_signed()));
        let pid = pid.with_context(|| format!("{} does not run", self.name))?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Sends it a signal and waits for its end.
    ///
    /// # Errors
    /// When it does not run.
    pub(crate) async fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        self.signal(signal)?;
        let child = self.child.as_mut().context("it does not run")?;
        let status = child.wait().await?;
        self.child = None;
        Ok(status)
    }

    /// How it ended, if it did without our doing.
    pub(crate) fn ended_by_itself(&mut self) -> Option<ExitStatus> {
        let status = self.child.as_mut()?.try_wait().ok().flatten()?;
        self.child = None;
        Some(status)
    }

    /// What it has said since its last start.
    pub(crate) fn said(&self) -> String {
        read_from(&self.log, self.log_start).unwrap_or_default()
    }

    /// What it has said since its first start.
    pub(crate) fn said_ever(&self) -> String {
        read_from(&self.log, 0).unwrap_or_default()
    }
}

fn read_from(path: &Path, start: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
