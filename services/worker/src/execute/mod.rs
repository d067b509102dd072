//! Running a task, and what each way to end means for it.

mod process;
mod simulate;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use taskmaster_core::{ExecutorKind, Outcome, SimulateOptions};
use taskmaster_store::start::Started;

use crate::capture::Capture;
use crate::oom::OomKills;
use crate::reaper::Reaper;
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
    /// Ends what a command leaves behind.
    pub(crate) reaper: Arc<Reaper>,
    /// Tells a kill by the kernel's out-of-memory killer from any other.
    pub(crate) oom_kills: Arc<OomKills>,
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
    /// Whether the kernel killed a process for lack of memory while it ran.
    pub(crate) out_of_memory: bool,
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

/// What a shell exits with when a command of its was ended by SIGKILL.
const KILLED_IN_SHELL: i32 = 128 + Signal::KILL.as_raw();

impl Ending {
    /// Adds what else is to be known of the run.
    pub(crate) fn remark(&mut self, remark: &str) {
        self.error_message = Some(match self.error_message.take() {
            Some(message) => format!("{message} ({remark})"),
            None => remark.to_owned(),
        });
    }
}

fn describe(exit: Exit, last_stderr_line: &str) -> String {
    let mut how = match (exit.signal, exit.code) {
        (Some(signal), _) => format!("killed by {}", signal_name(signal)),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "ended without an exit code".to_owned(),
    };
    if exit.out_of_memory {
        how = if exit.signal == Some(Signal::KILL.as_raw()) || exit.code == Some(KILLED_IN_SHELL) {
            format!("killed: out of memory ({how})")
        } else {
            format!("{how} (and a process was killed while it ran: out of memory)")
        };
    }
    if last_stderr_line.is_empty() {
        how
    } else {
        format!("{how}: {last_stderr_line}")
    }
}

/// As `kill -l` has it with `SIG` before, or its number.
fn signal_name(signal: i32) -> String {
    let name = match Signal::from_named_raw(signal) {
        Some(Signal::HUP) => "SIGHUP",
        Some(Signal::INT) => "SIGINT",
        Some(Signal::QUIT) => "SIGQUIT",
        Some(Signal::ILL) => "SIGILL",
        Some(Signal::TRAP) => "SIGTRAP",
        Some(Signal::ABORT) => "SIGABRT",
        Some(Signal::BUS) => "SIGBUS",
        Some(Signal::FPE) => "SIGFPE",
        Some(Signal::KILL) => "SIGKILL",
        Some(Signal::SEGV) => "SIGSEGV",
        Some(Signal::USR1) => "SIGUSR1",
        Some(Signal::USR2) => "SIGUSR2",
        Some(Signal::PIPE) => "SIGPIPE",
        Some(Signal::ALARM) => "SIGALRM",
        Some(Signal::TERM) => "SIGTERM",
        Some(Signal::XCPU) => "SIGXCPU",
        Some(Signal::XFSZ) => "SIGXFSZ",
        Some(Signal::SYS) => "SIGSYS",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_is_told_in_words() {
        let exit = |code, signal, out_of_memory| Exit {
            code,
            signal,
            out_of_memory,
        };
        for (exit, line, expected) in [
            (exit(Some(3), None, false), "", "exit code 3"),
            (exit(Some(3), None, false), "no", "exit code 3: no"),
            (exit(None, Some(9), false), "", "killed by SIGKILL"),
            (exit(None, Some(11), false), "x", "killed by SIGSEGV: x"),
            (exit(None, Some(40), false), "", "killed by signal 40"),
            (
                exit(None, Some(9), true),
                "",
                "killed: out of memory (killed by SIGKILL)",
            ),
            (
                exit(Some(137), None, true),
                "Killed",
                "killed: out of memory (exit code 137): Killed",
            ),
            (
                exit(Some(1), None, true),
                "",
                "exit code 1 (and a process was killed while it ran: out of memory)",
            ),
            (exit(None, None, false), "", "ended without an exit code"),
        ] {
            assert_eq!(describe(exit, line), expected);
        }
    }
}
