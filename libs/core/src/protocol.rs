//! The moves of one task's row, as pure functions: what each guarded statement of the store does, and when it does
//! nothing.
//!
//! This is the specification of the SQL. Two things hold the three together: a test of the store drives Postgres and
//! these functions with the same random moves and compares every row after each, and the model in `libs/model` moves
//! its rows by these functions only. Times, output and messages for people are left out: no guard looks at them.

use crate::{Event, Lease, Outcome, RetryPolicy, TaskStatus, Verdict, next, verdict};

/// What the guards of a task's row look at and the moves change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row {
    /// Where the task is in its life.
    pub status: TaskStatus,
    /// The number of its latest claim; 0 before the first. It never falls, also not by a retry by hand.
    pub lease: Lease,
    /// How many starts count against `max_attempts`.
    pub attempt: i32,
    /// How often it is started at most.
    pub max_attempts: i32,
    /// What that was when it was submitted, before any retry by hand.
    pub submitted_max_attempts: i32,
    /// Who holds it, or held it at its end. `None` exactly while it is scheduled, and if it was cancelled then.
    pub assigned_worker: Option<i32>,
    /// Whether someone asked for it to be stopped, since the last retry by hand.
    pub cancel_requested: bool,
}

/// What a request to cancel did to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// It had not started: it is cancelled.
    Cancelled,
    /// It runs: the request is noted, and its worker has to hear of it.
    Requested,
    /// It had ended already.
    Refused,
}

/// What a rescue does about a row that a lost worker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rescue {
    /// It had not started: [`Row::release`].
    Release,
    /// It ran: [`Row::finish`] as [`Outcome::Lost`], by the verdict on that.
    Finish,
}

/// How a run ends that its worker stopped in order to hand it back, if the hand-back is refused while the lease still
/// holds: a command with one attempt must not be started again. [`Row::finish`] makes a cancel of it, if one was
/// requested, which is the other reason to refuse.
pub const NOT_HANDED_BACK: (Outcome, Verdict) = (Outcome::Lost, Verdict::Final(TaskStatus::Failed));

/// Each move says whether it applied; where it did not, nothing was changed.
impl Row {
    /// A task as it is taken in: `submit`.
    #[must_use]
    pub fn submitted(max_attempts: i32) -> Self {
        Self {
            status: TaskStatus::Scheduled,
            lease: 0,
            attempt: 0,
            max_attempts,
            submitted_max_attempts: max_attempts,
            assigned_worker: None,
            cancel_requested: false,
        }
    }

    /// Gives it to a worker under the next lease: `claim.sql`. That it is due is for the caller to know.
    pub fn claim(&mut self, worker_id: i32) -> bool {
        let claimed = self.apply(Event::Claim);
        if claimed {
            self.lease += 1;
            self.assigned_worker = Some(worker_id);
        }
        claimed
    }

    /// Starts it: `start.sql`. `incarnation` is the process that asks, `registered` the one that the table of workers
    /// has for this worker: a process that was superseded starts nothing.
    pub fn start<I: Eq>(
        &mut self,
        lease: Lease,
        worker_id: i32,
        incarnation: I,
        registered: I,
    ) -> bool {
        let holds = self.lease == lease && self.assigned_worker == Some(worker_id);
        let started = holds && incarnation == registered && self.apply(Event::Start);
        if started {
            self.attempt += 1;
        }
        started
    }

    /// Takes a claim back that was not started: `release.sql`.
    pub fn release(&mut self, lease: Lease) -> bool {
        let released = self.lease == lease
            && self.status == TaskStatus::Assigned
            && self.apply(Event::Release);
        if released {
            self.assigned_worker = None;
        }
        released
    }

    /// Takes back a run that its worker has stopped, without spending its attempt: `hand_back.sql`. Not one that was to
    /// be cancelled, and not one submitted with a single attempt, which would be started a second time, also after a retry
    /// by hand: see [`NOT_HANDED_BACK`].
    pub fn hand_back(&mut self, lease: Lease) -> bool {
        let handed_back = self.runs(lease)
            && !self.cancel_requested
            && self.submitted_max_attempts > 1
            && self.apply(Event::Release);
        if handed_back {
            self.assigned_worker = None;
            self.attempt -= 1;
        }
        handed_back
    }

    /// Ends a run, for good or until its next attempt: `finish.sql` and `retry_later.sql`. One whose cancel was
    /// requested is not tried again: it ends as cancelled. So does one that did not end by itself but was stopped or
    /// lost, whoever did that, and whatever they knew of the request.
    pub fn finish(&mut self, lease: Lease, outcome: Outcome, verdict: Verdict) -> bool {
        let stopped = matches!(outcome, Outcome::Lost | Outcome::TimedOut);
        match verdict {
            Verdict::Final(_) if stopped && self.cancel_requested => {
                self.end(lease, TaskStatus::Cancelled)
            }
            Verdict::Final(status) => self.end(lease, status),
            Verdict::RetryAfter(_) => {
                self.retry_later(lease) || self.end(lease, TaskStatus::Cancelled)
            }
        }
    }

    /// Cancels it, or notes that it is to be stopped: `cancel.sql` and what follows it.
    pub fn cancel(&mut self) -> Cancel {
        let answer = if self.status == TaskStatus::Running {
            Cancel::Requested
        } else if self.apply(Event::Cancel) {
            Cancel::Cancelled
        } else {
            return Cancel::Refused;
        };
        self.cancel_requested = true;
        answer
    }

    /// What is to be done if its worker is lost: `rescue`. `None` if nobody holds it.
    #[must_use]
    pub fn rescue(&self) -> Option<Rescue> {
        match self.status {
            TaskStatus::Assigned => Some(Rescue::Release),
            TaskStatus::Running => Some(Rescue::Finish),
            TaskStatus::Scheduled
            | TaskStatus::Completed
            | TaskStatus::Failed
            | TaskStatus::Cancelled => None,
        }
    }

    /// Schedules it again after its end, with one more attempt if none is left: `retry_by_hand.sql`.
    pub fn retry_by_hand(&mut self) -> bool {
        let scheduled = self.apply(Event::RetryByHand);
        if scheduled {
            self.max_attempts = self.max_attempts.max(self.attempt + 1);
            self.assigned_worker = None;
            self.cancel_requested = false;
        }
        scheduled
    }

    /// What becomes of it if its present run ends like this.
    #[must_use]
    pub fn verdict(&self, outcome: Outcome, policy: RetryPolicy, jitter: f64) -> Verdict {
        verdict(outcome, self.attempt, self.max_attempts, policy, jitter)
    }

    /// Whether it runs under this lease.
    #[must_use]
    pub fn runs(&self, lease: Lease) -> bool {
        self.lease == lease && self.status == TaskStatus::Running
    }

    fn end(&mut self, lease: Lease, status: TaskStatus) -> bool {
        let event = match status {
            TaskStatus::Completed => Event::Complete,
            TaskStatus::Failed => Event::Fail,
            TaskStatus::Cancelled => Event::Cancel,
            TaskStatus::Scheduled | TaskStatus::Assigned | TaskStatus::Running => return false,
        };
        self.runs(lease) && self.apply(event)
    }

    fn retry_later(&mut self, lease: Lease) -> bool {
        let again = self.runs(lease) && !self.cancel_requested && self.apply(Event::RetryLater);
        if again {
            self.assigned_worker = None;
        }
        again
    }

    fn apply(&mut self, event: Event) -> bool {
        match next(self.status, event) {
            Ok(status) => {
                self.status = status;
                true
            }
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(max_attempts: i32) -> Row {
        let mut row = Row::submitted(max_attempts);
        assert!(row.claim(7) && row.start(1, 7, 'a', 'a'));
        row
    }

    #[test]
    fn a_start_needs_the_lease_the_worker_and_its_incarnation() {
        let mut row = Row::submitted(1);
        assert!(!row.start(0, 7, 'a', 'a'), "nobody was given it");
        assert!(row.claim(7) && !row.claim(7));
        assert!(!row.start(0, 7, 'a', 'a'), "an older lease");
        assert!(!row.start(1, 8, 'a', 'a'), "another worker");
        assert!(!row.start(1, 7, 'a', 'b'), "an older process");
        assert!(row.start(1, 7, 'b', 'b') && row.attempt == 1);
        assert!(!row.start(1, 7, 'b', 'b'), "once");
    }

    #[test]
    fn what_has_one_attempt_is_not_handed_back() {
        let mut once = running(1);
        assert!(!once.hand_back(1));
        let (outcome, verdict) = NOT_HANDED_BACK;
        assert!(once.finish(1, outcome, verdict) && once.status == TaskStatus::Failed);

        // A retry by hand is one start, too.
        assert!(once.retry_by_hand() && once.claim(7) && once.start(2, 7, 'a', 'a'));
        assert_eq!((once.attempt, once.max_attempts), (2, 2));
        assert!(!once.hand_back(2));

        let mut more = running(2);
        assert!(!more.hand_back(0));
        assert!(more.hand_back(1));
        assert_eq!((more.status, more.attempt), (TaskStatus::Scheduled, 0));
    }

    #[test]
    fn what_was_to_be_cancelled_neither_comes_back_nor_is_tried_again() {
        let mut row = running(3);
        assert_eq!(row.cancel(), Cancel::Requested);
        assert!(!row.hand_back(1));
        let verdict = row.verdict(Outcome::Failed, RetryPolicy::default(), 0.0);
        assert!(matches!(verdict, Verdict::RetryAfter(_)));
        assert!(row.finish(1, Outcome::Failed, verdict));
        assert_eq!(row.status, TaskStatus::Cancelled);
        assert_eq!(row.cancel(), Cancel::Refused);
    }

    #[test]
    fn what_was_to_be_cancelled_and_did_not_end_by_itself_is_cancelled() {
        for (outcome, expected) in [
            (Outcome::Lost, TaskStatus::Cancelled),
            (Outcome::TimedOut, TaskStatus::Cancelled),
            (Outcome::Failed, TaskStatus::Failed),
            (Outcome::Completed, TaskStatus::Completed),
        ] {
            let mut row = running(1);
            assert_eq!(row.cancel(), Cancel::Requested);
            let verdict = row.verdict(outcome, RetryPolicy::default(), 0.0);
            assert!(row.finish(1, outcome, verdict));
            assert_eq!(row.status, expected, "{outcome:?}");
        }
    }

    #[test]
    fn a_retry_by_hand_goes_on_with_the_leases() {
        let mut row = running(1);
        assert!(!row.retry_by_hand());
        let verdict = Verdict::Final(TaskStatus::Failed);
        assert!(row.finish(1, Outcome::Failed, verdict));
        assert!(row.retry_by_hand());
        assert_eq!((row.lease, row.attempt, row.max_attempts), (1, 1, 2));
        assert!(row.claim(8) && row.lease == 2);
    }
}
