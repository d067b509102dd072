//! The intake: receives, commits, acknowledges, in this order. And people, who cancel and retry.

use taskmaster_core::TaskStatus;
use taskmaster_core::protocol::{self, Row};

use crate::state::{Message, State, Submission, Task};
use crate::{Action, Broken, Setup};

impl Setup {
    pub(crate) fn intake_actions(&self, s: &State, actions: &mut Vec<Action>) {
        for task in Task::all() {
            match s.submissions[task.index()] {
                Submission::Queued => actions.push(Action::Take(task)),
                Submission::Taken => {
                    let acks_first = self.broken == Some(Broken::AcksBeforeCommit);
                    let next = if acks_first {
                        Action::Ack
                    } else {
                        Action::Store
                    };
                    actions.extend([next(task), Action::LoseIntake(task)]);
                }
                Submission::Stored => {
                    actions.extend([Action::Ack(task), Action::LoseIntake(task)]);
                }
                Submission::AckedFirst => {
                    actions.extend([Action::Store(task), Action::LoseIntake(task)]);
                }
                Submission::Acked => {}
            }
            let may_cancel = |row: &Row| !row.status.is_final() && !row.cancel_requested;
            if s.row(task).is_some_and(may_cancel) {
                actions.push(Action::Cancel(task));
            }
            let ended =
                |row: &Row| matches!(row.status, TaskStatus::Failed | TaskStatus::Cancelled);
            if s.row(task).is_some_and(ended) {
                actions.push(Action::Retry(task));
            }
        }
    }

    /// A message's key is the task's id: a submission that comes again finds its task, also one that has ended.
    pub(crate) fn store(&self, s: &mut State, task: Task) {
        let i = task.index();
        if s.rows[i].is_none() || self.broken == Some(Broken::NoIdempotencyKey) {
            s.seen.stored[i] += 1;
        }
        s.rows[i].get_or_insert_with(|| Row::submitted(self.max_attempts(task)));
        s.submissions[i] = match s.submissions[i] {
            Submission::AckedFirst => Submission::Acked,
            _ => Submission::Stored,
        };
    }

    pub(crate) fn ack(&self, s: &mut State, task: Task) {
        let submission = &mut s.submissions[task.index()];
        *submission = match submission {
            Submission::Taken => Submission::AckedFirst,
            _ => Submission::Acked,
        };
    }

    pub(crate) fn lose_intake(&self, s: &mut State, task: Task) {
        let submission = &mut s.submissions[task.index()];
        *submission = match submission {
            // RabbitMQ has forgotten it.
            Submission::AckedFirst => Submission::Acked,
            _ => Submission::Queued,
        };
    }

    pub(crate) fn cancel(&self, s: &mut State, task: Task) {
        let holder = s.holder(task);
        let Some(row) = &mut s.rows[task.index()] else {
            return;
        };
        if let (protocol::Cancel::Requested, Some((claim, worker))) = (row.cancel(), holder) {
            s.publish(Message::Cancel(worker, claim));
        }
    }

    /// `retry_by_hand.sql`. It asks for one more run, so they are counted anew.
    pub(crate) fn retry(&self, s: &mut State, task: Task) {
        let i = task.index();
        if s.rows[i].as_mut().is_some_and(Row::retry_by_hand) {
            s.seen.runs[i] = 0;
        }
    }
}
