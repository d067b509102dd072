//! What can happen, and the way from there to the part of the model where it does.

use stateright::{Model, Property};
use taskmaster_core::Outcome;

use crate::setup::TaskSetup;
use crate::state::{
    COORDINATORS, Claim, Coordinator, Message, Presence, Registered, Seen, Stage, State, Statement,
    Submission, TASKS, Task, WORKERS, Worker, WorkerId,
};
use crate::{Setup, properties};

/// One step. [`Action::disturbance`] says which take one from the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The intake receives a submission.
    Take(Task),
    /// The intake commits it.
    Store(Task),
    /// The intake acknowledges it.
    Ack(Task),
    /// The intake, or its channel, goes down; what was not acknowledged comes again.
    LoseIntake(Task),

    /// A coordinator gives a task to a worker, and knows it.
    Claim(usize, Task, WorkerId),
    /// The same, to a worker that is not online any more.
    ClaimForLost(usize, Task, WorkerId),
    /// It publishes the assignment, and has it confirmed.
    Publish(usize),
    /// It publishes, and is not told that it was confirmed, or is told that it was returned.
    PublishUnconfirmed(usize),
    /// It releases what was not confirmed.
    Release(usize),
    /// It loses its memory, or the answer to its claim.
    CrashCoordinator(usize),
    /// A coordinator declares a worker offline.
    MarkOffline(WorkerId),
    /// It does so while the worker runs: with the fence broken.
    MarkOfflineWhileUp(WorkerId),
    /// A coordinator reads that a worker which is offline holds this task, and is about to rescue it.
    Rescue(Task),

    /// A statement that was on its way is carried out.
    Execute(Statement),

    /// A worker receives a message.
    Deliver(Message),
    /// It receives a message that will come again.
    DeliverTwice(Message),
    /// A message is lost. As often as may be: it costs nothing.
    Lose(Message),
    /// Every message to a worker is lost, likewise.
    Wipe,

    /// A worker sends a start, and Postgres carries it out.
    Start(WorkerId, Claim),
    /// It sends a start that is carried out at some time, or never, and whose answer is lost.
    LoseStart(WorkerId, Claim),
    /// The answer to a start arrives: the command runs if it was committed.
    Begin(WorkerId, Claim),
    /// A command ends by itself, well or not.
    Exit(WorkerId, Claim, Outcome),
    /// A worker writes how a run ended.
    Report(WorkerId, Claim),
    /// It sends an end that is written at some time, or never, and whose answer is lost.
    LoseReport(WorkerId, Claim),
    /// Postgres refuses the end for good.
    RefuseReport(WorkerId, Claim),
    /// A worker's heartbeat is written, and its answer heard.
    Beat(WorkerId),
    /// It is written, and its answer takes its time.
    SlowBeat(WorkerId),
    /// A slow answer to a heartbeat is heard.
    HearBeat(WorkerId),
    /// It is lost.
    LoseBeatAnswer(WorkerId),
    /// A worker has not reached Postgres for too long, and stops everything.
    Fence(WorkerId),
    /// A worker's process dies, and all it ran with it.
    Crash(WorkerId),
    /// It is started again under the same name, and registers.
    Restart(WorkerId),
    /// It gives back what the process before ran.
    RescueEarlier(WorkerId),
    /// A worker is asked to stop.
    Drain(WorkerId),
    /// Its grace period is over: a run is stopped.
    Stop(WorkerId, Claim),
    /// It holds nothing more, signs off, and ends.
    SignOff(WorkerId),

    /// Somebody cancels a task.
    Cancel(Task),
    /// Somebody retries one that has failed or was cancelled.
    Retry(Task),
}

/// What can go wrong, and what people can ask for: each takes one from the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disturbance {
    /// [`Action::LoseIntake`]
    LoseIntake,
    /// [`Action::ClaimForLost`]
    ClaimForLost,
    /// [`Action::PublishUnconfirmed`]
    PublishUnconfirmed,
    /// [`Action::CrashCoordinator`]
    CrashCoordinator,
    /// [`Action::MarkOfflineWhileUp`]
    MarkOfflineWhileUp,
    /// [`Action::DeliverTwice`]
    DeliverTwice,
    /// [`Action::LoseStart`]
    LoseStart,
    /// [`Action::LoseReport`]
    LoseReport,
    /// [`Action::RefuseReport`]
    RefuseReport,
    /// [`Action::SlowBeat`]
    SlowBeat,
    /// [`Action::Fence`]
    Fence,
    /// [`Action::Crash`]
    Crash,
    /// [`Action::Drain`]
    Drain,
    /// [`Action::Exit`] of a command that fails.
    Fail,
    /// [`Action::Cancel`]
    Cancel,
    /// [`Action::Retry`]
    Retry,
}

impl Disturbance {
    /// Each of them.
    pub const ALL: [Self; 16] = [
        Self::LoseIntake,
        Self::ClaimForLost,
        Self::PublishUnconfirmed,
        Self::CrashCoordinator,
        Self::MarkOfflineWhileUp,
        Self::DeliverTwice,
        Self::LoseStart,
        Self::LoseReport,
        Self::RefuseReport,
        Self::SlowBeat,
        Self::Fence,
        Self::Crash,
        Self::Drain,
        Self::Fail,
        Self::Cancel,
        Self::Retry,
    ];
}

impl Action {
    /// What it takes from the budget for, if it does.
    #[must_use]
    pub fn disturbance(&self) -> Option<Disturbance> {
        use {Action as A, Disturbance as D};
        match self {
            A::LoseIntake(_) => Some(D::LoseIntake),
            A::ClaimForLost(..) => Some(D::ClaimForLost),
            A::PublishUnconfirmed(_) => Some(D::PublishUnconfirmed),
            A::CrashCoordinator(_) => Some(D::CrashCoordinator),
            A::MarkOfflineWhileUp(_) => Some(D::MarkOfflineWhileUp),
            A::DeliverTwice(_) => Some(D::DeliverTwice),
            A::LoseStart(..) => Some(D::LoseStart),
            A::LoseReport(..) => Some(D::LoseReport),
            A::RefuseReport(..) => Some(D::RefuseReport),
            A::SlowBeat(_) => Some(D::SlowBeat),
            A::Fence(_) => Some(D::Fence),
            A::Crash(_) => Some(D::Crash),
            A::Drain(_) => Some(D::Drain),
            A::Exit(_, _, Outcome::Failed) => Some(D::Fail),
            A::Cancel(_) => Some(D::Cancel),
            A::Retry(_) => Some(D::Retry),
            A::Take(_)
            | A::Store(_)
            | A::Ack(_)
            | A::Claim(..)
            | A::Publish(_)
            | A::Release(_)
            | A::MarkOffline(_)
            | A::Rescue(_)
            | A::Execute(_)
            | A::Deliver(_)
            | A::Lose(_)
            | A::Wipe
            | A::Start(..)
            | A::Begin(..)
            | A::Exit(..)
            | A::Report(..)
            | A::Beat(_)
            | A::HearBeat(_)
            | A::LoseBeatAnswer(_)
            | A::Restart(_)
            | A::RescueEarlier(_)
            | A::Stop(..)
            | A::SignOff(_) => None,
        }
    }
}

impl Setup {
    /// Makes one step, which must be possible in this state.
    pub(crate) fn apply(&self, s: &mut State, action: Action) {
        use Action as A;
        if action.disturbance().is_some() {
            s.disturbances -= 1;
        }
        match action {
            A::Take(task) => s.submissions[task.index()] = Submission::Taken,
            A::Store(task) => self.store(s, task),
            A::Ack(task) => self.ack(s, task),
            A::LoseIntake(task) => self.lose_intake(s, task),

            A::Claim(at, task, worker) | A::ClaimForLost(at, task, worker) => {
                self.claim(s, at, task, worker);
            }
            A::Publish(at) => self.publish(s, at, true),
            A::PublishUnconfirmed(at) => self.publish(s, at, false),
            A::Release(at) => self.release_undelivered(s, at),
            A::CrashCoordinator(at) => self.crash_coordinator(s, at),
            A::MarkOffline(worker) | A::MarkOfflineWhileUp(worker) => {
                self.mark_offline(s, worker);
            }
            A::Rescue(task) => self.rescue(s, task),

            A::Execute(statement) => self.execute(s, statement),

            A::Deliver(message) => {
                s.take(message);
                self.receive(s, message);
            }
            A::DeliverTwice(message) => self.receive(s, message),
            A::Lose(message) => s.take(message),
            A::Wipe => s.messages.clear(),

            A::Start(worker, claim) => self.send_start(s, worker, claim),
            A::LoseStart(worker, claim) => self.lose_start(s, worker, claim),
            A::Begin(worker, claim) => self.hear_start(s, worker, claim),
            A::Exit(worker, claim, outcome) => self.exit(s, worker, claim, outcome),
            A::Report(worker, claim) => self.report(s, worker, claim),
            A::LoseReport(worker, claim) => self.lose_report(s, worker, claim),
            A::RefuseReport(worker, claim) => s.workers[worker.index()].give_up(claim),
            A::Beat(worker) => {
                self.beat(s, worker);
                self.hear_beat(s, worker);
            }
            A::SlowBeat(worker) => self.beat(s, worker),
            A::HearBeat(worker) => self.hear_beat(s, worker),
            A::LoseBeatAnswer(worker) => s.workers[worker.index()].beat = None,
            A::Fence(worker) => self.fence(s, worker),
            A::Crash(worker) => self.crash(s, worker),
            A::Restart(worker) => self.restart(s, worker),
            A::RescueEarlier(worker) => self.rescue_earlier(s, worker),
            A::Drain(worker) => self.drain(s, worker),
            A::Stop(worker, claim) => self.stop(s, worker, claim),
            A::SignOff(worker) => self.sign_off(s, worker),

            A::Cancel(task) => self.cancel(s, task),
            A::Retry(task) => self.retry(s, task),
        }
        // They differ only by what they are about to do.
        s.coordinators.sort_unstable();
    }

    /// The state before anything has happened: both workers are up and registered.
    #[must_use]
    pub fn initial(&self) -> State {
        let worker = Worker {
            stage: Stage::Up,
            incarnation: 1,
            fenced: false,
            held: Vec::new(),
            given_up: [0; TASKS],
            beat: None,
            orphans: Vec::new(),
        };
        let registered = Registered {
            incarnation: 1,
            status: Presence::Online,
        };
        let submissions = self.tasks.map(|task| match task {
            Some(task) if task.by_amqp => Submission::Queued,
            _ => Submission::Acked,
        });
        let stored = |task: TaskSetup| (!task.by_amqp).then(|| task.row());
        State {
            rows: self.tasks.map(|task| task.and_then(stored)),
            registered: [registered; WORKERS],
            statements: Vec::new(),
            messages: Vec::new(),
            submissions,
            coordinators: [Coordinator::Idle; COORDINATORS],
            workers: std::array::from_fn(|_| worker.clone()),
            disturbances: self.disturbances,
            seen: Seen::default(),
        }
    }
}

impl Model for Setup {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.initial()]
    }

    fn actions(&self, s: &State, actions: &mut Vec<Action>) {
        self.intake_actions(s, actions);
        self.coordinator_actions(s, actions);
        actions.extend(s.statements.iter().copied().map(Action::Execute));
        self.broker_actions(s, actions);
        for worker in WorkerId::all() {
            self.worker_actions(s, worker, actions);
        }
        actions.retain(|action| match action.disturbance() {
            Some(disturbance) => s.disturbances > 0 && self.allows(disturbance),
            None => true,
        });
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut after = before.clone();
        self.apply(&mut after, action);
        // A step that changes nothing is none, and is not paid for.
        (after != *before).then_some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = properties::all();
        properties.retain(|property| self.property.is_none_or(|name| name == property.name));
        properties
    }
}
