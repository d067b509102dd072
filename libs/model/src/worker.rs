//! A worker: consumer, starter, runs, reporter, heartbeat and drain, and the life of its process.

use taskmaster_core::Outcome;
use taskmaster_core::protocol::NOT_HANDED_BACK;

use crate::state::{
    Beat, Claim, Held, Known, Message, Presence, Registered, Stage, State, Statement, TASKS, Task,
    Worker, WorkerId,
};
use crate::{Action, Broken, Setup};

impl Setup {
    pub(crate) fn worker_actions(&self, s: &State, id: WorkerId, actions: &mut Vec<Action>) {
        let worker = &s.workers[id.index()];
        match worker.stage {
            Stage::Dead => actions.push(Action::Restart(id)),
            Stage::Fresh => actions.push(Action::RescueEarlier(id)),
            Stage::Up => actions.push(Action::Drain(id)),
            Stage::Draining if worker.held.is_empty() => actions.push(Action::SignOff(id)),
            Stage::Draining => {}
        }
        if self.broken == Some(Broken::TwoProcessesOfOneName) && worker.stage == Stage::Up {
            actions.push(Action::Restart(id));
        }
        if worker.stage == Stage::Dead {
            return;
        }
        actions.push(Action::Crash(id));
        if !worker.is_up() {
            return;
        }
        match worker.beat {
            Some(_) => actions.extend([Action::HearBeat(id), Action::LoseBeatAnswer(id)]),
            None => actions.extend([Action::Beat(id), Action::SlowBeat(id)]),
        }
        if !worker.fenced && self.broken != Some(Broken::NoFence) {
            actions.push(Action::Fence(id));
        }
        for (claim, held) in worker.held.iter().copied() {
            self.held_actions(id, worker, claim, held, actions);
        }
    }

    fn held_actions(
        &self,
        id: WorkerId,
        worker: &Worker,
        claim: Claim,
        held: Held,
        actions: &mut Vec<Action>,
    ) {
        match held {
            Held::Pending | Held::Uncertain => {
                if !worker.fenced || self.broken == Some(Broken::StartsWhileFenced) {
                    actions.extend([Action::Start(id, claim), Action::LoseStart(id, claim)]);
                }
            }
            Held::Answered(_) => actions.push(Action::Begin(id, claim)),
            Held::Running => {
                actions.extend([
                    Action::Exit(id, claim, Outcome::Completed),
                    Action::Exit(id, claim, Outcome::Failed),
                ]);
                if worker.stage == Stage::Draining {
                    actions.push(Action::Stop(id, claim));
                }
            }
            Held::Ended(_) | Held::Stopped => actions.extend([
                Action::Report(id, claim),
                Action::LoseReport(id, claim),
                Action::RefuseReport(id, claim),
            ]),
        }
    }

    /// Whether there is a process that takes this message out of its queue.
    pub(crate) fn receives(&self, s: &State, message: Message) -> bool {
        let (Message::Assign(id, _) | Message::Cancel(id, _)) = message;
        s.workers[id.index()].is_up()
    }

    pub(crate) fn receive(&self, s: &mut State, message: Message) {
        match message {
            Message::Assign(id, claim) => {
                let worker = &mut s.workers[id.index()];
                // What comes while it drains is still assigned to it, and released at its next heartbeat.
                if worker.stage == Stage::Up {
                    self.take_on(worker, claim);
                }
            }
            Message::Cancel(id, claim) => {
                let worker = &mut s.workers[id.index()];
                if worker.find(claim) == Some(Held::Running) {
                    worker.set(claim, Some(Held::Ended(Outcome::Cancelled)));
                }
            }
        }
    }

    /// Notes a claim, each once.
    fn take_on(&self, worker: &mut Worker, claim: Claim) {
        let given_up = claim.lease <= worker.given_up[claim.task.index()];
        let forgets = self.broken == Some(Broken::TakesOnAgain);
        if worker.find(claim).is_none() && (forgets || !given_up) {
            worker.set(claim, Some(Held::Pending));
        }
    }

    /// Sends a start. One whose answer was lost is looked up first: it may have been committed.
    pub(crate) fn send_start(&self, s: &mut State, id: WorkerId, claim: Claim) {
        if self.broken == Some(Broken::RunsBeforeStart) {
            return self.begin(s, id, claim);
        }
        let by = s.workers[id.index()].incarnation;
        let uncertain = s.workers[id.index()].find(claim) == Some(Held::Uncertain);
        let started = (uncertain && Self::is_started(s, id, by, claim))
            || self.commit_start(s, id, by, claim);
        s.workers[id.index()].set(claim, Some(Held::Answered(started)));
    }

    pub(crate) fn lose_start(&self, s: &mut State, id: WorkerId, claim: Claim) {
        let worker = &mut s.workers[id.index()];
        worker.set(claim, Some(Held::Uncertain));
        let by = worker.incarnation;
        s.send(Statement::Start(claim, id, by));
    }

    pub(crate) fn hear_start(&self, s: &mut State, id: WorkerId, claim: Claim) {
        if s.workers[id.index()].find(claim) == Some(Held::Answered(true)) {
            self.begin(s, id, claim);
        } else {
            s.workers[id.index()].set(claim, None);
        }
    }

    fn begin(&self, s: &mut State, id: WorkerId, claim: Claim) {
        s.workers[id.index()].set(claim, Some(Held::Running));
        let i = claim.task.index();
        let started = Self::is_started(s, id, s.workers[id.index()].incarnation, claim);
        s.seen.unstarted_run |= !started;
        s.seen.begun_again |= claim.lease <= s.seen.begun[i];
        s.seen.begun[i] = claim.lease.max(s.seen.begun[i]);
        s.seen.runs[i] = s.seen.runs[i].saturating_add(1).min(2);
    }

    pub(crate) fn exit(&self, s: &mut State, id: WorkerId, claim: Claim, outcome: Outcome) {
        s.workers[id.index()].set(claim, Some(Held::Ended(outcome)));
    }

    /// Writes how a run ended.
    pub(crate) fn report(&self, s: &mut State, id: WorkerId, claim: Claim) {
        match s.workers[id.index()].find(claim) {
            Some(Held::Ended(outcome)) => drop(self.finish(s, claim, outcome)),
            _ => self.hand_back_or_finish(s, claim),
        }
        s.workers[id.index()].set(claim, None);
    }

    /// It will be written again, until there is an answer.
    pub(crate) fn lose_report(&self, s: &mut State, id: WorkerId, claim: Claim) {
        let max_attempts = self.max_attempts(claim.task);
        s.send(match s.workers[id.index()].find(claim) {
            Some(Held::Ended(outcome)) => Statement::Finish(claim, outcome),
            _ if max_attempts > 1 => Statement::HandBack(claim),
            _ => Statement::Finish(claim, NOT_HANDED_BACK.0),
        });
    }

    /// Postgres notes that it is alive, and tells what it holds.
    pub(crate) fn beat(&self, s: &mut State, id: WorkerId) {
        let worker = &s.workers[id.index()];
        let known = |i: usize| {
            let (claim, by) = s.holder(Task(i as u8))?;
            let row = s.row(claim.task)?;
            (by == id).then(|| Known {
                lease: claim.lease,
                running: row.runs(claim.lease),
                cancel: row.cancel_requested,
            })
        };
        let mut ran = [0; TASKS];
        for (claim, held) in &worker.held {
            if *held == Held::Running {
                ran[claim.task.index()] = claim.lease;
            }
        }
        let beat = Beat {
            known: std::array::from_fn(known),
            ran,
            given_up: worker.given_up,
        };
        s.registered[id.index()].status = match worker.stage {
            Stage::Draining => Presence::Draining,
            _ => Presence::Online,
        };
        s.workers[id.index()].beat = Some(beat);
    }

    /// Brings what it holds in line with what Postgres said it holds.
    pub(crate) fn hear_beat(&self, s: &mut State, id: WorkerId) {
        let worker = &mut s.workers[id.index()];
        worker.fenced = false;
        let Some(beat) = worker.beat.take() else {
            return;
        };
        if self.broken == Some(Broken::NoReconciliation) {
            return;
        }
        for task in Task::all() {
            let i = task.index();
            let claim = |lease| Claim { task, lease };
            let runs = beat.known[i].filter(|known| known.running);
            let runs = runs.map(|known| known.lease);
            let worker = &mut s.workers[id.index()];
            // What ran when the question was asked and is not in the answer belongs to somebody else by now.
            let ran = claim(beat.ran[i]);
            if runs != Some(ran.lease) && worker.find(ran) == Some(Held::Running) {
                worker.set(ran, None);
            }
            // What was given up before the question was asked, and does not run by the answer, may be started anew if
            // it is assigned here still.
            if worker.given_up[i] == beat.given_up[i] && runs != Some(worker.given_up[i]) {
                worker.given_up[i] = 0;
            }
            let Some(known) = beat.known[i] else { continue };
            let claim = claim(known.lease);
            match worker.find(claim) {
                Some(Held::Running) if known.running && known.cancel => {
                    worker.set(claim, Some(Held::Ended(Outcome::Cancelled)));
                }
                Some(_) => {}
                // It does not run here, whatever Postgres says: it is lost. Looked at once more before it is written,
                // and from now on not taken on again: a message that is late must not have it looked up and run.
                None if known.running => {
                    worker.give_up(claim);
                    if s.row(task).is_some_and(|row| row.runs(known.lease)) {
                        self.rescue(s, task);
                    }
                }
                None if worker.stage == Stage::Draining => s.send(Statement::Release(claim)),
                None => self.take_on(worker, claim),
            }
        }
    }

    /// What it runs must be assumed to be given to others, what it is starting too: an answer that comes now is too
    /// late. Ends of runs are still written, if the lease holds.
    pub(crate) fn fence(&self, s: &mut State, id: WorkerId) {
        let worker = &mut s.workers[id.index()];
        worker.fenced = true;
        // It has been waited for in vain.
        worker.beat = None;
        for (claim, held) in worker.held.clone() {
            match held {
                Held::Pending => worker.set(claim, None),
                Held::Uncertain | Held::Answered(_) => match self.broken {
                    Some(Broken::StartsSurviveFence) => {}
                    Some(Broken::LooksUpAfterFence) => worker.set(claim, Some(Held::Uncertain)),
                    _ => worker.give_up(claim),
                },
                Held::Running => worker.give_up(claim),
                Held::Ended(_) | Held::Stopped => {}
            }
        }
    }

    pub(crate) fn crash(&self, s: &mut State, id: WorkerId) {
        let worker = &mut s.workers[id.index()];
        *worker = Worker {
            stage: Stage::Dead,
            incarnation: worker.incarnation,
            fenced: false,
            held: Vec::new(),
            given_up: [0; TASKS],
            beat: None,
            orphans: std::mem::take(&mut worker.orphans),
        };
    }

    /// From here on the process before can start nothing.
    pub(crate) fn restart(&self, s: &mut State, id: WorkerId) {
        let worker = &mut s.workers[id.index()];
        // None, unless the assumption is broken that the process before is dead.
        let running = worker
            .held
            .iter()
            .filter(|(_, held)| *held == Held::Running);
        let orphans: Vec<Claim> = running.map(|(claim, _)| *claim).collect();
        self.crash(s, id);
        let worker = &mut s.workers[id.index()];
        worker.orphans.extend(orphans);
        worker.stage = Stage::Fresh;
        worker.incarnation += 1;
        s.registered[id.index()] = Registered {
            incarnation: worker.incarnation,
            status: Presence::Online,
        };
    }

    /// Takes nothing new, and gives back what has not begun to start.
    pub(crate) fn drain(&self, s: &mut State, id: WorkerId) {
        let worker = &mut s.workers[id.index()];
        worker.stage = Stage::Draining;
        for (claim, held) in worker.held.clone() {
            if held == Held::Pending {
                s.workers[id.index()].set(claim, None);
                s.send(Statement::Release(claim));
            }
        }
    }

    pub(crate) fn stop(&self, s: &mut State, id: WorkerId, claim: Claim) {
        s.workers[id.index()].set(claim, Some(Held::Stopped));
    }

    /// One that cannot reach Postgres ends without a word.
    pub(crate) fn sign_off(&self, s: &mut State, id: WorkerId) {
        if !s.workers[id.index()].fenced {
            s.registered[id.index()].status = Presence::Offline;
        }
        self.crash(s, id);
    }
}
