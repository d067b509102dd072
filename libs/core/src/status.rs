//! The states of a task and the moves between them. The table in `snapshots/` is printed from here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Waits for its time and for a free slot. A submission, a release or a retry puts a task here;
    /// the coordinator's claim or a cancel takes it out.
    Scheduled,
    /// A worker was chosen and the assignment published. The claim puts a task here; that worker's
    /// start takes it out, or a release when the worker is gone or the message was not delivered, or a cancel.
    Assigned,
    /// The worker holds it and its start is committed. That worker's finish takes it out, or a rescue.
    Running,
    /// Exit status 0. Final.
    Completed,
    /// The last attempt failed. Final; a retry by hand makes the task `scheduled` again, with its history kept.
    Failed,
    /// Stopped on request before it finished. Final; a retry by hand makes the task `scheduled` again.
    Cancelled,
}

impl TaskStatus {
    /// Every status, in the order of a task's life.
    pub const ALL: [Self; 6] = [
        Self::Scheduled,
        Self::Assigned,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The name that is stored, sent and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Assigned => "assigned",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the task has reached its end.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is none of the statuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no status: use scheduled, assigned, running, completed, failed or cancelled")]
pub struct UnknownStatus(pub String);

impl FromStr for TaskStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// What can happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// The coordinator chose a worker.
    Claim,
    /// The claim is taken back before, or without, spending an attempt: the message was not delivered,
    /// or the worker drains or is gone.
    Release,
    /// The worker's start was committed.
    Start,
    /// The command ended with exit status 0.
    Complete,
    /// The attempt failed and no attempt is left.
    Fail,
    /// The attempt failed, or its worker was lost, and another attempt is due after a delay.
    RetryLater,
    /// A person or a program asked for the task to be stopped, and it is.
    Cancel,
    /// A person asked for a finished task to be tried again.
    RetryByHand,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 8] = [
        Self::Claim,
        Self::Release,
        Self::Start,
        Self::Complete,
        Self::Fail,
        Self::RetryLater,
        Self::Cancel,
        Self::RetryByHand,
    ];
}

/// The event cannot happen to a task in this status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen to a task that is {status}")]
pub struct IllegalTransition {
    /// The status the task has.
    pub status: TaskStatus,
    /// The event that does not apply.
    pub event: Event,
}

/// The status after `event`. Every guarded statement in the store is one row of this table.
///
/// # Errors
/// [`IllegalTransition`] where the event cannot happen in that status.
pub fn next(status: TaskStatus, event: Event) -> Result<TaskStatus, IllegalTransition> {
    use Event as E;
    use TaskStatus as S;
    match (status, event) {
        (S::Scheduled, E::Claim) => Ok(S::Assigned),
        (S::Assigned, E::Start) => Ok(S::Running),
        (S::Running, E::Complete) => Ok(S::Completed),
        (S::Running, E::Fail) => Ok(S::Failed),
        (S::Scheduled | S::Assigned | S::Running, E::Cancel) => Ok(S::Cancelled),
        // A drain that runs out of patience hands back what runs and may run again, without spending its attempt.
        (S::Assigned | S::Running, E::Release) => Ok(S::Scheduled),
        (S::Running, E::RetryLater) => Ok(S::Scheduled),
        (S::Failed | S::Cancelled, E::RetryByHand) => Ok(S::Scheduled),
        (
            S::Scheduled,
            E::Release | E::Start | E::Complete | E::Fail | E::RetryLater | E::RetryByHand,
        )
        | (S::Assigned, E::Claim | E::Complete | E::Fail | E::RetryLater | E::RetryByHand)
        | (S::Running, E::Claim | E::Start | E::RetryByHand)
        | (
            S::Completed,
            E::Claim
            | E::Release
            | E::Start
            | E::Complete
            | E::Fail
            | E::RetryLater
            | E::Cancel
            | E::RetryByHand,
        )
        | (
            S::Failed | S::Cancelled,
            E::Claim | E::Release | E::Start | E::Complete | E::Fail | E::RetryLater | E::Cancel,
        ) => Err(IllegalTransition { status, event }),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_whole_table() {
        let mut table = String::new();
        for status in TaskStatus::ALL {
            for event in Event::ALL {
                let to = next(status, event).map_or("-".to_owned(), |s| s.to_string());
                writeln!(table, "{status:<10} {:<12} {to}", format!("{event:?}")).unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn names_read_back() {
        for status in TaskStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        assert!("done".parse::<TaskStatus>().is_err());
    }

    proptest! {
        /// Whatever happens, in whatever order: a task runs only from a claim, and a completed task stays completed.
        #[test]
        fn completed_is_for_ever(events in prop::collection::vec(prop::sample::select(Event::ALL.to_vec()), 0..60)) {
            let mut status = TaskStatus::Scheduled;
            for event in events {
                let before = status;
                if let Ok(after) = next(before, event) {
                    prop_assert!(before != TaskStatus::Completed);
                    prop_assert!(after != TaskStatus::Running || before == TaskStatus::Assigned);
                    prop_assert!(!before.is_final() || event == Event::RetryByHand);
                    status = after;
                }
            }
        }
    }
}
