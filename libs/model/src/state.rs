//! What there is at one moment: the rows of Postgres, what is on its way, what each process has in memory, and what has
//! been seen so far.

use std::fmt;

use taskmaster_core::protocol::Row;
use taskmaster_core::{Lease, Outcome, TaskStatus};

/// How many tasks there are.
pub const TASKS: usize = 2;
/// How many workers there are.
pub const WORKERS: usize = 2;
/// How many coordinators there are, each of which thinks that it leads.
pub const COORDINATORS: usize = 2;

/// A task, by its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Task(pub u8);

/// A worker, by its number, which is also its id in Postgres.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u8);

/// One claim of one task.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The task.
    pub task: Task,
    /// The claim's number.
    pub lease: Lease,
}

impl Task {
    /// Every task.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..TASKS as u8).map(Self)
    }

    /// Where it is in an array of them.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.into()
    }
}

impl WorkerId {
    /// Every worker.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..WORKERS as u8).map(Self)
    }

    /// Where it is in an array of them.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.into()
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}", self.task, self.lease)
    }
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// Postgres: the tasks, live or ended.
    pub rows: [Option<Row>; TASKS],
    /// Postgres: the workers.
    pub registered: [Registered; WORKERS],
    /// Statements that are on their way to Postgres and whose answer nobody waits for, a set in order: those of a
    /// rescue, between its reading and its writing, and those that their sender has given up.
    pub statements: Vec<Statement>,
    /// RabbitMQ: the workers' queues, a bag in order.
    pub messages: Vec<Message>,
    /// RabbitMQ and the intake: where each submission is.
    pub submissions: [Submission; TASKS],
    /// What each coordinator is about to do, in order: nothing else tells them apart.
    pub coordinators: [Coordinator; COORDINATORS],
    /// The processes of the workers.
    pub workers: [Worker; WORKERS],
    /// What still may go wrong.
    pub disturbances: u8,
    /// What has happened, for the properties.
    pub seen: Seen,
}

/// A worker in Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Registered {
    /// The latest process that took the name.
    pub incarnation: u8,
    /// Who may get tasks, and who is lost.
    pub status: Presence,
}

/// The status of a worker in Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Presence {
    /// May get tasks.
    Online,
    /// Gets none any more.
    Draining,
    /// What it holds is rescued.
    Offline,
}

/// A statement on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Statement {
    /// `release.sql`
    Release(Claim),
    /// `start.sql`, by this worker's process number.
    Start(Claim, WorkerId, u8),
    /// `finish.sql` or `retry_later.sql`
    Finish(Claim, Outcome),
    /// `hand_back.sql`
    HandBack(Claim),
}

/// A message to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// A claim was given to it.
    Assign(WorkerId, Claim),
    /// It is to stop a run.
    Cancel(WorkerId, Claim),
}

/// A task on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Submission {
    /// In the queue.
    Queued,
    /// At the intake, not acknowledged.
    Taken,
    /// Committed, not acknowledged.
    Stored,
    /// Acknowledged and, with a rule broken, not committed.
    AckedFirst,
    /// Acknowledged.
    Acked,
}

/// What a coordinator has in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Coordinator {
    /// Nothing that matters.
    Idle,
    /// It has claimed and not yet published.
    Claimed(Claim, WorkerId),
    /// It has published, heard that it went wrong, and not yet released.
    Releasing(Claim),
}

/// A worker's process.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Worker {
    /// Where it is in its life.
    pub stage: Stage,
    /// Which start of the process this is.
    pub incarnation: u8,
    /// It could not reach Postgres for too long, and has not been heard of since.
    pub fenced: bool,
    /// The claims it knows of, in order.
    pub held: Vec<(Claim, Held)>,
    /// For each task the claim that it ran, or may have started, and gave up without a report; 0: none. It is not
    /// taken on again until Postgres is known not to have it as running.
    pub given_up: [Lease; TASKS],
    /// A heartbeat whose answer is on its way.
    pub beat: Option<Beat>,
    /// With a rule broken: what an older process of the same name still runs.
    pub orphans: Vec<Claim>,
}

/// Where a worker's process is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// There is none.
    Dead,
    /// It has registered, and has yet to give back what the one before ran.
    Fresh,
    /// It takes tasks.
    Up,
    /// It was asked to stop.
    Draining,
}

/// Where a claim is at its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Held {
    /// Not begun to start.
    Pending,
    /// Its start was sent, and the answer lost: whether it is committed is not known.
    Uncertain,
    /// Postgres has answered whether the start is committed, and the answer is on its way.
    Answered(bool),
    /// The command runs.
    Running,
    /// The command has ended like this, which is to be written.
    Ended(Outcome),
    /// The command was stopped to be handed back, which is to be written.
    Stopped,
}

/// A heartbeat on its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Beat {
    /// What Postgres says the worker holds of each task.
    pub known: [Option<Known>; TASKS],
    /// The claim of each task that ran when it was sent; 0: none.
    pub ran: [Lease; TASKS],
    /// [`Worker::given_up`] when it was sent.
    pub given_up: [Lease; TASKS],
}

/// What Postgres says a worker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Known {
    /// The claim's number.
    pub lease: Lease,
    /// Whether its start is committed.
    pub running: bool,
    /// Whether it is to be stopped.
    pub cancel: bool,
}

/// What has happened, which no process knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Seen {
    /// The latest claim of each task under which its command began to run; 0: none.
    pub begun: [Lease; TASKS],
    /// How often each task's command began to run since somebody retried it, if somebody did; 2: twice or more.
    pub runs: [u8; TASKS],
    /// A command began to run under a claim under which, or after which, it had begun before.
    pub begun_again: bool,
    /// A command began to run while Postgres did not have it as running there under this claim.
    pub unstarted_run: bool,
    /// A run was ended by somebody whose lease was not the row's.
    pub stale_finish: bool,
    /// How many tasks each submission has become.
    pub stored: [u8; TASKS],
}

impl State {
    /// The row of a task, if it is stored.
    #[must_use]
    pub fn row(&self, task: Task) -> Option<&Row> {
        self.rows[task.index()].as_ref()
    }

    /// The claim that a task is held under in Postgres, and by whom.
    #[must_use]
    pub fn holder(&self, task: Task) -> Option<(Claim, WorkerId)> {
        let row = self.row(task)?;
        let held = matches!(row.status, TaskStatus::Assigned | TaskStatus::Running);
        let worker = WorkerId(u8::try_from(row.assigned_worker?).ok()?);
        let lease = row.lease;
        held.then_some((Claim { task, lease }, worker))
    }

    /// Sends a statement without waiting for its answer.
    pub(crate) fn send(&mut self, statement: Statement) {
        if let Err(at) = self.statements.binary_search(&statement) {
            self.statements.insert(at, statement);
        }
    }

    /// Puts a message into its queue.
    pub(crate) fn publish(&mut self, message: Message) {
        let at = self.messages.partition_point(|other| *other < message);
        self.messages.insert(at, message);
    }

    /// Takes a message out of its queue.
    pub(crate) fn take(&mut self, message: Message) {
        if let Ok(at) = self.messages.binary_search(&message) {
            self.messages.remove(at);
        }
    }
}

impl Worker {
    /// Whether there is a process that has come as far as taking tasks.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up | Stage::Draining)
    }

    /// Where a claim is, if it is known here.
    #[must_use]
    pub fn find(&self, claim: Claim) -> Option<Held> {
        let mut held = self.held.iter();
        held.find(|(held, _)| *held == claim)
            .map(|(_, state)| *state)
    }

    /// Puts a claim into this state, or forgets it.
    pub(crate) fn set(&mut self, claim: Claim, state: Option<Held>) {
        let at = self.held.partition_point(|(held, _)| *held < claim);
        let known = self.held.get(at).is_some_and(|(held, _)| *held == claim);
        match (known, state) {
            (true, Some(state)) => self.held[at].1 = state,
            (true, None) => drop(self.held.remove(at)),
            (false, Some(state)) => self.held.insert(at, (claim, state)),
            (false, None) => {}
        }
    }

    /// Forgets a claim, and remembers that nobody reported it.
    pub(crate) fn give_up(&mut self, claim: Claim) {
        self.set(claim, None);
        let given_up = &mut self.given_up[claim.task.index()];
        *given_up = claim.lease.max(*given_up);
    }
}
