//! The coordinators: the dispatcher, which claims, publishes and releases, and the rescuer.

use taskmaster_core::protocol::{Rescue, Row};
use taskmaster_core::{Outcome, TaskStatus};

use crate::state::{
    Claim, Coordinator, Message, Presence, Stage, State, Statement, Task, Worker, WorkerId,
};
use crate::{Action, Broken, Setup};

impl Setup {
    pub(crate) fn coordinator_actions(&self, s: &State, actions: &mut Vec<Action>) {
        for (at, coordinator) in s.coordinators.iter().enumerate() {
            match coordinator {
                // Two idle ones would do the same.
                Coordinator::Idle if at > 0 && s.coordinators[at - 1] == Coordinator::Idle => {}
                Coordinator::Idle => Self::claim_actions(s, at, actions),
                Coordinator::Claimed(..) => actions.extend([
                    Action::Publish(at),
                    Action::PublishUnconfirmed(at),
                    Action::CrashCoordinator(at),
                ]),
                Coordinator::Releasing(_) => {
                    actions.extend([Action::Release(at), Action::CrashCoordinator(at)]);
                }
            }
        }
        for worker in WorkerId::all() {
            let process = &s.workers[worker.index()];
            if s.registered[worker.index()].status == Presence::Offline {
                continue;
            }
            if Self::is_lost(process) {
                actions.push(Action::MarkOffline(worker));
            } else if self.broken == Some(Broken::NoFence) && process.is_up() {
                actions.push(Action::MarkOfflineWhileUp(worker));
            }
        }
        for task in Task::all() {
            let offline =
                |worker: WorkerId| s.registered[worker.index()].status == Presence::Offline;
            if s.holder(task).is_some_and(|(_, worker)| offline(worker)) {
                actions.push(Action::Rescue(task));
            }
        }
    }

    fn claim_actions(s: &State, at: usize, actions: &mut Vec<Action>) {
        let scheduled = |row: &Row| row.status == TaskStatus::Scheduled;
        for task in Task::all().filter(|task| s.row(*task).is_some_and(scheduled)) {
            for worker in WorkerId::all() {
                // What a coordinator knows of the workers may be old.
                actions.push(match s.registered[worker.index()].status {
                    Presence::Online => Action::Claim(at, task, worker),
                    Presence::Draining | Presence::Offline => {
                        Action::ClaimForLost(at, task, worker)
                    }
                });
            }
        }
    }

    /// Whether nobody has heard of a worker for so long that it is declared offline. If it is alive, it knows: it stops
    /// everything a moment before. That is the one assumption about time.
    pub(crate) fn is_lost(process: &Worker) -> bool {
        process.stage == Stage::Dead || (process.fenced && process.beat.is_none())
    }

    pub(crate) fn claim(&self, s: &mut State, at: usize, task: Task, worker: WorkerId) {
        if let Some(row) = &mut s.rows[task.index()]
            && row.claim(worker.0.into())
        {
            let lease = row.lease;
            s.coordinators[at] = Coordinator::Claimed(Claim { task, lease }, worker);
        }
    }

    pub(crate) fn publish(&self, s: &mut State, at: usize, confirmed: bool) {
        let Coordinator::Claimed(claim, worker) = s.coordinators[at] else {
            return;
        };
        // One that is returned has arrived and been lost.
        s.publish(Message::Assign(worker, claim));
        s.coordinators[at] = match confirmed {
            true => Coordinator::Idle,
            false => Coordinator::Releasing(claim),
        };
    }

    pub(crate) fn release_undelivered(&self, s: &mut State, at: usize) {
        if let Coordinator::Releasing(claim) = s.coordinators[at] {
            self.execute(s, Statement::Release(claim));
        }
        s.coordinators[at] = Coordinator::Idle;
    }

    /// The task stays assigned: a heartbeat of its worker finds it, or the rescue.
    pub(crate) fn crash_coordinator(&self, s: &mut State, at: usize) {
        s.coordinators[at] = Coordinator::Idle;
    }

    pub(crate) fn mark_offline(&self, s: &mut State, worker: WorkerId) {
        s.registered[worker.index()].status = Presence::Offline;
    }

    /// Only reads: what it decides to write is written later, by which time anything may have happened.
    pub(crate) fn rescue(&self, s: &mut State, task: Task) {
        if let Some(statement) = self.rescue_of(s, task) {
            s.send(statement);
        }
    }

    /// What is to be written about a task whose worker is lost.
    pub(crate) fn rescue_of(&self, s: &State, task: Task) -> Option<Statement> {
        let (claim, _) = s.holder(task)?;
        let spends_nothing = self.broken == Some(Broken::RescueSpendsNothing);
        Some(match s.row(task)?.rescue()? {
            Rescue::Release => Statement::Release(claim),
            Rescue::Finish if spends_nothing => Statement::HandBack(claim),
            Rescue::Finish => Statement::Finish(claim, Outcome::Lost),
        })
    }
}
