//! Standard output and standard error of a command of the client.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

/// Nobody reads what we print any more, as in `taskmaster tasks | head -1`: no error, and the end.
#[derive(Debug, thiserror::Error)]
#[error("the output is closed")]
pub(crate) struct Closed;

/// Prints. Results go to standard output, everything else to standard error.
#[derive(Debug)]
pub(crate) struct Terminal {
    stdout: io::Stdout,
    stderr: io::Stderr,
}

impl Terminal {
    /// The process's own.
    pub(crate) fn new() -> Self {
        Self {
            stdout: io::stdout(),
            stderr: io::stderr(),
        }
    }

    /// A line of the result.
    ///
    /// # Errors
    /// [`Closed`], or what the system said.
    pub(crate) fn line(&mut self, line: impl Display) -> anyhow::Result<()> {
        checked(writeln!(self.stdout, "{line}"))
    }

    /// A value of the result, as one line of JSON.
    ///
    /// # Errors
    /// [`Closed`], or what the system said.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        self.line(serde_json::to_string(value)?)
    }

    /// A part of the result as it is, at once.
    ///
    /// # Errors
    /// [`Closed`], or what the system said.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        checked(
            self.stdout
                .write_all(bytes)
                .and_then(|()| self.stdout.flush()),
        )
    }

    /// What a task wrote to its standard error, to ours.
    ///
    /// # Errors
    /// [`Closed`], or what the system said.
    pub(crate) fn error_bytes(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        checked(self.stderr.write_all(bytes))
    }

    /// A remark to whoever sits there. That nobody can read it is no reason to fail.
    pub(crate) fn note(&mut self, note: impl Display) {
        writeln!(self.stderr, "{note}").ok();
    }
}

fn checked(written: io::Result<()>) -> anyhow::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Closed.into()),
        other => Ok(other?),
    }
}
