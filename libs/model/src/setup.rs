//! What is checked: how much may go wrong, and which rule is switched off.

use taskmaster_core::protocol::Row;
use taskmaster_core::{Outcome, RetryPolicy, TaskStatus};

use crate::action::Disturbance;
use crate::state::{TASKS, Task};

/// One model to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// How many faults and requests there may be in all, in any order and at any moment.
    pub disturbances: u8,
    /// Which they may be.
    pub only: &'static [Disturbance],
    /// The tasks that there are.
    pub tasks: [Option<TaskSetup>; TASKS],
    /// The rule that is switched off.
    pub broken: Option<Broken>,
    /// The one property that is looked at; `None`: all.
    pub property: Option<&'static str>,
}

impl Setup {
    /// One task, stored already.
    #[must_use]
    pub fn one_task(max_attempts: i32, disturbances: u8) -> Self {
        let task = TaskSetup {
            max_attempts,
            by_amqp: false,
            retried: false,
        };
        Self {
            disturbances,
            only: &Disturbance::ALL,
            tasks: [Some(task), None],
            broken: None,
            property: None,
        }
    }

    /// Whether this may happen.
    #[must_use]
    pub fn allows(&self, disturbance: Disturbance) -> bool {
        self.only.contains(&disturbance)
    }

    /// How often a task is started at most; 0 if there is none of that number.
    #[must_use]
    pub fn max_attempts(&self, task: Task) -> i32 {
        self.tasks[task.index()].map_or(0, |task| task.max_attempts)
    }

    /// The tasks that there are.
    pub fn tasks(&self) -> impl Iterator<Item = Task> {
        Task::all().filter(|task| self.tasks[task.index()].is_some())
    }
}

/// A task that is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskSetup {
    /// How often it is started at most.
    pub max_attempts: i32,
    /// Whether it comes as a message of an AMQP producer, and is not stored already.
    pub by_amqp: bool,
    /// Whether it has failed at each attempt before, and somebody has retried it.
    pub retried: bool,
}

impl TaskSetup {
    /// The task as it is stored.
    pub(crate) fn row(self) -> Row {
        let mut row = Row::submitted(self.max_attempts);
        while self.retried && row.status == TaskStatus::Scheduled {
            row.claim(0);
            let lease = row.lease;
            row.start(lease, 0, 0, 0);
            let verdict = row.verdict(Outcome::Failed, RetryPolicy::default(), 0.0);
            row.finish(lease, Outcome::Failed, verdict);
        }
        row.retry_by_hand();
        row
    }
}

/// A rule of the protocol, or an assumption of it, that is switched off. With each the checker has to find a state that
/// must not be: without that, nobody would know that it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Broken {
    /// The end of a run is written without looking at its lease.
    FinishIgnoresLease,
    /// A start is committed without looking at its lease.
    StartIgnoresLease,
    /// A worker runs a command as soon as it is told of it.
    RunsBeforeStart,
    /// The intake acknowledges a submission before it is committed.
    AcksBeforeCommit,
    /// A submission that comes again is another task.
    NoIdempotencyKey,
    /// A worker that cannot reach Postgres goes on running.
    NoFence,
    /// A start whose answer comes after the fence is run.
    StartsSurviveFence,
    /// A start whose answer had not come at the fence is looked up once Postgres has heard of the worker again, and run
    /// if it is committed: while a coordinator that read so before is about to write that it was lost.
    LooksUpAfterFence,
    /// A worker that has fenced itself starts what it is told of, before Postgres has heard of it again.
    StartsWhileFenced,
    /// A worker does not remember the claims that it ran, or may have started, and gave up without reporting them: told
    /// of one again, it looks up whether its start is committed, and finds the one that it gave up.
    TakesOnAgain,
    /// The heartbeat's answer is not compared with what the worker holds.
    NoReconciliation,
    /// A lost run is tried again as if it had not been started.
    RescueSpendsNothing,
    /// A task with one attempt is handed back like every other.
    HandsBackOneAttempt,
    /// It is once a retry by hand has allowed it another one.
    HandsBackRetried,
    /// A new process takes a worker's name while the one before is alive and runs something.
    TwoProcessesOfOneName,
}
