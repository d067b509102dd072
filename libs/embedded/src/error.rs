//! What can go wrong, each as one line that says what to do.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// Why a private server could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The program is not installed, or not where it was looked for.
    #[error("{what} was not found: {remedy}")]
    NotFound {
        /// "PostgreSQL" or "RabbitMQ".
        what: &'static str,
        /// What to install or to set.
        remedy: String,
    },
    /// Another owner holds the folder.
    #[error("{} is in use by another process{}: stop that one, or choose another --data-dir", folder.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    InUse {
        /// The folder that is locked.
        folder: PathBuf,
        /// The process that holds it, if it can be told.
        pid: Option<u32>,
    },
    /// The user that the server must run as cannot reach its folder.
    #[error("user `{user}`, which {what} runs as because it refuses to run as root, cannot reach {}: choose another --data-dir, for example below /var/lib", folder.display())]
    Unreachable {
        /// The server's name.
        what: &'static str,
        /// The unprivileged user.
        user: String,
        /// The folder it cannot enter or write.
        folder: PathBuf,
    },
    /// The data was made by a version that is not installed.
    #[error("{} was made by PostgreSQL {data}, but only {installed} is installed: install PostgreSQL {data}, or choose another --data-dir", folder.display())]
    Version {
        /// The data folder.
        folder: PathBuf,
        /// The major version that made it.
        data: String,
        /// The versions that were found.
        installed: String,
    },
    /// The program ended before it was ready.
    #[error("{what} ended while starting ({status}): {tail} (log: {})", log.display())]
    Exited {
        /// The program.
        what: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        tail: String,
        /// Its whole log.
        log: PathBuf,
    },
    /// The program runs but did not become ready in time.
    #[error("{what} was not ready after {} s: {tail} (log: {})", after.as_secs(), log.display())]
    NotReady {
        /// The program.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
        /// The last lines of its log.
        tail: String,
        /// Its whole log.
        log: PathBuf,
    },
    /// The port asked for is taken.
    #[error("port {port} on 127.0.0.1 is taken: choose another one for {what}")]
    PortTaken {
        /// The server's name.
        what: &'static str,
        /// The port.
        port: u16,
    },
    /// A file or a process could not be handled.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: names what was being done when the system refused.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing: doing.into(),
            source,
        }
    }
}
