//! Running a task, and what each way to end means for it.

mod process;
mod simulate;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use taskmaster_core::{ExecutorKind, Outcome, SimulateOptions};
use taskmaster_store::start::Started;

use crate::capture::Capture;
use crate::stop::{Stop, StopReason};

/// The output of a run, shared by its readers and by who stores it.
pub(crate) type SharedCapture = Arc<Mutex<Capture>>;

/// What every run at this worker has in common.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Told to the command as `TASKMASTER_WORKER`.
    pub(crate) worker_name: String,
    /// Between SIGTERM and SIGKILL.
    pub(crate) kill_grace: Duration,
    /// Whether tasks are simulated that do not ask for it.
    pub(crate) simulate: Option<SimulateOptions>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself.
    Exited(Exit),
    /// It never ran: the reason.
    CouldNotStart(String),
    /// Stopped at its time limit.
    TimedOut(Exit),
    /// Stopped because it was told to.
    Stopped(StopReason, Exit),
}

/// How a process ended: an exit code, or a signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
}

/// What is reported of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) outcome: Outcome,
    pub(crate) exit: Exit,
    pub(crate) error_message: Option<String>,
}

/// Runs a task to its end. Returns only when nothing of it is left.
pub(crate) async fn execute(
    started: &Started,
    settings: &Settings,
    capture: &SharedCapture,
    stop: Stop,
) -> End {
    if stop.is_lease_lost() {
        return End::Stopped(StopReason::LeaseLost, Exit::default());
    }
    match (started.executor, settings.simulate) {
        (ExecutorKind::Process, None) => process::run(started, settings, capture, stop).await,
        (ExecutorKind::Process, Some(options)) => simulate::run(started, options, stop).await,
        (ExecutorKind::Simulate, _) => {
            simulate::run(started, started.simulate.unwrap_or_default(), stop).await
        }
    }
}

impl End {
    /// What is reported, or `None` when nothing may be: the task is not this worker's any more, or is handed back.
    pub(crate) fn ending(self, started: &Started, capture: &SharedCapture) -> Option<Ending> {
        let (outcome, exit, error_message) = match self {
            Self::Exited(exit @ Exit { code: Some(0), .. }) => (Outcome::Completed, exit, None),
            Self::Exited(exit) => {
                let last_line = capture
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .last_stderr_line();
                (Outcome::Failed, exit, Some(describe(exit, &last_line)))
            }
            Self::CouldNotStart(reason) => (Outcome::Failed, Exit::default(), Some(reason)),
            Self::TimedOut(exit) => {
                let limit = started.timeout_seconds.unwrap_or_default();
                let message =
                    format!("ran longer than its time limit of {limit} s and was stopped");
                (Outcome::TimedOut, exit, Some(message))
            }
            Self::Stopped(StopReason::Cancelled, exit) => (
                Outcome::Cancelled,
                exit,
                Some("cancelled while it ran".to_owned()),
            ),
            Self::Stopped(StopReason::LeaseLost | StopReason::HandBack, _) => return None,
        };
        Some(Ending {
            outcome,
            exit,
            error_message,
        })
    }
}

fn describe(exit: Exit, last_stderr_line: &str) -> String {
    let how = match exit {
        Exit {
            signal: Some(signal),
            ..
        } => format!("ended by signal {signal}"),
        Exit {
            code: Some(code), ..
        } => format!("exit code {code}"),
        Exit {
            code: None,
            signal: None,
        } => "ended without an exit code".to_owned(),
    };
    if last_stderr_line.is_empty() {
        how
    } else {
        format!("{how}: {last_stderr_line}")
    }
}
