//! Postgres: statements, carried out one after the other. Every row moves by `taskmaster_core::protocol`; what is
//! written here is only which rule is switched off, and what has been seen.

use taskmaster_core::protocol::{NOT_HANDED_BACK, Row};
use taskmaster_core::{Outcome, RetryPolicy, TaskStatus};

use crate::state::{Claim, Stage, State, Statement, Task, WorkerId};
use crate::{Broken, Setup};

impl Setup {
    /// Carries out a statement whose answer nobody waits for.
    pub(crate) fn execute(&self, s: &mut State, statement: Statement) {
        s.statements.retain(|other| *other != statement);
        match statement {
            Statement::Release(claim) => {
                if let Some(row) = &mut s.rows[claim.task.index()] {
                    row.release(claim.lease);
                }
            }
            Statement::Start(claim, worker, incarnation) => {
                self.commit_start(s, worker, incarnation, claim);
            }
            Statement::Finish(claim, outcome) => drop(self.finish(s, claim, outcome)),
            Statement::HandBack(claim) => drop(self.hand_back(s, claim)),
        }
    }

    /// `start.sql`
    pub(crate) fn commit_start(
        &self,
        s: &mut State,
        worker: WorkerId,
        by: u8,
        claim: Claim,
    ) -> bool {
        let registered = s.registered[worker.index()].incarnation;
        let Some(row) = &mut s.rows[claim.task.index()] else {
            return false;
        };
        let lease = match self.broken {
            Some(Broken::StartIgnoresLease) => row.lease,
            _ => claim.lease,
        };
        row.start(lease, worker.0.into(), by, registered)
    }

    /// What a starter asks whose answer was lost: `store::start::running`.
    pub(crate) fn is_started(s: &State, worker: WorkerId, by: u8, claim: Claim) -> bool {
        let its_own =
            |row: &Row| row.runs(claim.lease) && row.assigned_worker == Some(worker.0.into());
        s.registered[worker.index()].incarnation == by && s.row(claim.task).is_some_and(its_own)
    }

    /// `store::finish::finish`. That it is two statements where a retry is refused makes no difference: a retry is
    /// refused because the lease is gone, and then so is the end, or because of a cancel, which stays.
    pub(crate) fn finish(&self, s: &mut State, claim: Claim, outcome: Outcome) -> bool {
        let Some(row) = &mut s.rows[claim.task.index()] else {
            return false;
        };
        let verdict = row.verdict(outcome, RetryPolicy::default(), 0.0);
        let lease = match self.broken {
            Some(Broken::FinishIgnoresLease) => row.lease,
            _ => claim.lease,
        };
        let finished = row.finish(lease, outcome, verdict);
        s.seen.stale_finish |= finished && row.lease != claim.lease;
        finished
    }

    /// `hand_back.sql`
    pub(crate) fn hand_back(&self, s: &mut State, claim: Claim) -> bool {
        let Some(row) = &mut s.rows[claim.task.index()] else {
            return false;
        };
        let submitted = row.submitted_max_attempts;
        row.submitted_max_attempts = match self.broken {
            Some(Broken::HandsBackOneAttempt | Broken::RescueSpendsNothing) => submitted.max(2),
            Some(Broken::HandsBackRetried) => row.max_attempts,
            _ => submitted,
        };
        let handed_back = row.hand_back(claim.lease);
        row.submitted_max_attempts = submitted;
        handed_back
    }

    /// What the reporter does with a run that it stopped to hand it back.
    pub(crate) fn hand_back_or_finish(&self, s: &mut State, claim: Claim) {
        if !self.hand_back(s, claim) {
            self.finish(s, claim, NOT_HANDED_BACK.0);
        }
    }

    /// What a new process does about the runs of the one before.
    pub(crate) fn rescue_earlier(&self, s: &mut State, worker: WorkerId) {
        for task in Task::all() {
            let running = |row: &Row| row.status == TaskStatus::Running;
            let ran = s.row(task).is_some_and(running);
            if ran
                && s.holder(task).is_some_and(|(_, by)| by == worker)
                && let Some(statement) = self.rescue_of(s, task)
            {
                self.execute(s, statement);
            }
        }
        s.workers[worker.index()].stage = Stage::Up;
    }
}
