//! What can go wrong.

use std::io;

use crate::{MAX_WORKERS, MIN_WORKERS};

/// Why the fleet was not changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// Nobody here controls the workers.
    #[error(
        "workers are not started from here: start and stop them where they run, or use `taskmaster up`"
    )]
    NotAvailable,
    /// Not the name of a worker that this fleet has now.
    #[error("no worker named {0:?} in this fleet")]
    UnknownWorker(String),
    /// Not a size that a fleet may have.
    #[error("count must be from {MIN_WORKERS} to {MAX_WORKERS}, not {count}")]
    OutOfRange {
        /// What was asked for.
        count: u32,
    },
    /// Everything stops; no worker is started any more.
    #[error("the fleet is shutting down")]
    ShuttingDown,
    /// The engine does not answer; nothing was changed.
    #[error("the Docker engine does not answer; nothing was changed")]
    EngineAway,
    /// Where there is no container, there is none that another could be made like.
    #[error(
        "there is no worker that another one could be made like: `docker compose up -d --scale worker=1` makes the first"
    )]
    NoTemplate,
    /// The containers, or the engine, do not allow it. The words are fit for a caller.
    #[error("{0}")]
    Refused(String),
    /// The engine tried, and could not.
    #[error("the engine failed ({status}); this program's log has its words")]
    EngineFailed {
        /// HTTP's: 500 and above.
        status: u16,
    },
    /// A worker could not be started.
    #[error("starting {name}: {source}")]
    Io {
        /// The worker.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}
