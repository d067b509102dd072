//! The domain: what a task is, how it moves, when it is tried again, which worker gets it, and how many workers there are
//! to be.
//!
//! Pure code only. No I/O, no clock, no tokio: everything here can be tested without a server,
//! and everything that talks to one depends on this crate, never the other way round.

pub mod autoscale;
pub mod protocol;

mod idempotency;
mod retry;
mod round_robin;
mod status;
mod submission;
mod window;
mod worker_name;

pub use idempotency::{Fingerprint, IdempotencyKey, InvalidIdempotencyKey};
pub use retry::{RetryPolicy, Verdict, verdict};
pub use round_robin::{Room, RoundRobin};
pub use status::{Event, IllegalTransition, TaskStatus, UnknownStatus, next};
pub use submission::{
    ExecutorKind, FieldError, MAX_ATTEMPTS, MAX_BATCH, MAX_COMMAND_BYTES, MAX_ENV_BYTES,
    MAX_PRIORITY, MAX_STDIN_BYTES, MAX_TIMEOUT_SECONDS, NewTask, SimulateOptions, SubmitTask, When,
};
pub use window::window;
pub use worker_name::{InvalidWorkerName, WorkerName};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The number of a claim. Each claim adds one to its task's lease, and every later write by the worker
/// is guarded by it: whoever holds an older one writes nothing.
pub type Lease = i32;

/// One claim of one task: what an assignment message carries and every guarded write names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskLease {
    /// The task.
    pub id: Uuid,
    /// The claim's number.
    pub lease: Lease,
}

/// How one run of a command ended, before anyone decides what becomes of its task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Exit status 0.
    Completed,
    /// Another exit status, a signal from outside, or the command could not be started.
    Failed,
    /// Stopped because someone asked for it.
    Cancelled,
    /// Stopped because it ran longer than its time limit.
    TimedOut,
    /// Its worker was lost while it ran; what the command did is not known.
    Lost,
}

impl Outcome {
    /// The name that is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
        }
    }
}
