//! Whether every task ends once the faults stop.
//!
//! The checker's own "eventually" follows each path only to the first state that another path has been to, and misses
//! what goes on in circles. So this is checked from every state instead: with nothing going wrong any more, rounds in
//! which every part does once what it does again and again must end every task. The steps are those of the model. Two
//! schedules are tried, which stand for the two ways in which what is on its way can turn out: everything arrives and
//! the dead come back, or nothing does and they do not.

use taskmaster_core::{Outcome, TaskStatus};

use crate::state::{Coordinator, Held, Presence, Stage, State, Submission, Task, WorkerId};
use crate::{Action, Setup};

/// More than any state needs: a task is claimed anew for each attempt that it has left, and for each worker that
/// turns out not to take tasks.
const ROUNDS: usize = 12;

impl Setup {
    /// Whether every task ends, whatever becomes of what is on its way.
    pub(crate) fn settles(&self, s: &State) -> bool {
        self.settles_with(s.clone(), true) && self.settles_with(s.clone(), false)
    }

    fn settles_with(&self, mut s: State, arrives: bool) -> bool {
        if !arrives {
            s.messages.clear();
            s.statements.clear();
        }
        for _ in 0..ROUNDS {
            if self.all_ended(&s) {
                return true;
            }
            self.round(&mut s, arrives);
        }
        self.all_ended(&s)
    }

    fn all_ended(&self, s: &State) -> bool {
        let acked = s
            .submissions
            .iter()
            .all(|submission| *submission == Submission::Acked);
        let ended = |task: Task| s.row(task).is_some_and(|row| row.status.is_final());
        acked && self.tasks().all(ended)
    }

    fn round(&self, s: &mut State, arrives: bool) {
        self.carry_out(s);
        for at in 0..s.coordinators.len() {
            match s.coordinators[at] {
                Coordinator::Idle => {}
                Coordinator::Claimed(..) => self.apply(s, Action::Publish(at)),
                Coordinator::Releasing(_) => self.apply(s, Action::Release(at)),
            }
        }
        for message in s.messages.clone() {
            if self.receives(s, message) {
                self.apply(s, Action::Deliver(message));
            }
        }
        for id in WorkerId::all() {
            // Without them a task may have to wait for a worker that comes back.
            let others = WorkerId::all()
                .any(|other| other != id && s.workers[other.index()].stage == Stage::Up);
            let comes_back = arrives || !others;
            self.worker_round(s, id, comes_back);
        }
        self.carry_out(s);
        for task in Task::all() {
            self.intake_round(s, task);
            self.task_round(s, task);
        }
    }

    fn carry_out(&self, s: &mut State) {
        while let Some(statement) = s.statements.first().copied() {
            self.apply(s, Action::Execute(statement));
        }
    }

    fn worker_round(&self, s: &mut State, id: WorkerId, comes_back: bool) {
        match s.workers[id.index()].stage {
            Stage::Dead if comes_back => self.apply(s, Action::Restart(id)),
            Stage::Dead => return self.mark_offline_if_lost(s, id),
            Stage::Fresh => return self.apply(s, Action::RescueEarlier(id)),
            Stage::Up | Stage::Draining => {}
        }
        if s.workers[id.index()].stage == Stage::Fresh {
            return;
        }
        if s.workers[id.index()].beat.is_some() {
            self.apply(s, Action::HearBeat(id));
        }
        self.apply(s, Action::Beat(id));
        for (claim, _) in s.workers[id.index()].held.clone() {
            // Each leads to the next.
            while let Some(held) = s.workers[id.index()].find(claim) {
                self.apply(
                    s,
                    match held {
                        Held::Pending | Held::Uncertain => Action::Start(id, claim),
                        Held::Answered(_) => Action::Begin(id, claim),
                        Held::Running => Action::Exit(id, claim, Outcome::Completed),
                        Held::Ended(_) | Held::Stopped => Action::Report(id, claim),
                    },
                );
            }
        }
        let worker = &s.workers[id.index()];
        if worker.stage == Stage::Draining && worker.held.is_empty() {
            self.apply(s, Action::SignOff(id));
        }
    }

    fn mark_offline_if_lost(&self, s: &mut State, id: WorkerId) {
        let offline = s.registered[id.index()].status == Presence::Offline;
        if !offline && Self::is_lost(&s.workers[id.index()]) {
            self.apply(s, Action::MarkOffline(id));
        }
    }

    fn intake_round(&self, s: &mut State, task: Task) {
        let mut possible = Vec::new();
        self.intake_actions(s, &mut possible);
        let next = possible.into_iter().find(|action| {
            matches!(action, Action::Take(of) | Action::Store(of) | Action::Ack(of) if *of == task)
        });
        if let Some(next) = next {
            self.apply(s, next);
        }
    }

    fn task_round(&self, s: &mut State, task: Task) {
        if let Some((_, worker)) = s.holder(task) {
            if s.registered[worker.index()].status == Presence::Offline {
                self.apply(s, Action::Rescue(task));
            }
            return;
        }
        let scheduled = s
            .row(task)
            .is_some_and(|row| row.status == TaskStatus::Scheduled);
        let idle = s.coordinators.iter().position(|c| *c == Coordinator::Idle);
        let online = |id: &WorkerId| s.registered[id.index()].status == Presence::Online;
        if let (true, Some(at), Some(worker)) = (scheduled, idle, WorkerId::all().find(online)) {
            self.apply(s, Action::Claim(at, task, worker));
        }
    }
}
