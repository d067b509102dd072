//! What this worker holds: every claim it was told of and has not yet reported. The one place that answers "is this
//! mine, and where is it?", so that a message that comes twice is run once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use taskmaster_core::TaskLease;
use tokio::sync::Notify;

use crate::stop::{Stop, StopReason, StopSender, stop};

#[derive(Debug)]
enum State {
    /// Waits for its time or for a slot.
    Pending,
    /// Its start is being committed.
    Starting,
    /// It runs.
    Running { stop: StopSender, since: Instant },
    /// It has ended; the report is on its way.
    Reporting,
    /// It was given up without a report, while Postgres may still say that it runs here: a message or an answer that
    /// comes late must not bring it back. Until Postgres, asked after this, says otherwise.
    GivenUp { since: Instant },
}

#[derive(Debug, Default)]
struct Inner {
    states: HashMap<TaskLease, State>,
    ready: VecDeque<TaskLease>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Held {
    inner: Mutex<Inner>,
    changed: Notify,
    ready: Notify,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while the lock is held; were it so, the map would still be whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a claim; false if it is known already.
    pub(crate) fn insert(&self, task: TaskLease) -> bool {
        let mut inner = self.lock();
        if inner.states.contains_key(&task) {
            return false;
        }
        inner.states.insert(task, State::Pending);
        true
    }

    /// Whether a claim is held here.
    pub(crate) fn contains(&self, task: TaskLease) -> bool {
        let inner = self.lock();
        let state = inner.states.get(&task);
        state.is_some_and(|state| !matches!(state, State::GivenUp { .. }))
    }

    /// Gives a claim up that may still be running by Postgres's account: it is not taken on again.
    pub(crate) fn give_up(&self, task: TaskLease) {
        let since = Instant::now();
        let mut inner = self.lock();
        inner.states.insert(task, State::GivenUp { since });
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Forgets what was given up and, by an answer to a question `asked` after that, does not run here.
    pub(crate) fn forget_given_up(&self, running: &HashSet<TaskLease>, asked: Instant) {
        self.lock().states.retain(|task, state| match state {
            State::GivenUp { since } => *since > asked || running.contains(task),
            _ => true,
        });
    }

    /// Lets a pending task start as soon as there is a slot.
    pub(crate) fn make_ready(&self, tasks: impl IntoIterator<Item = TaskLease>) {
        self.lock().ready.extend(tasks);
        self.ready.notify_one();
    }

    /// Waits until so many tasks are ready.
    pub(crate) async fn until_ready(&self, count: usize) {
        loop {
            let notified = self.ready.notified();
            if self.lock().ready.len() >= count {
                return;
            }
            notified.await;
        }
    }

    /// Takes up to `limit` ready tasks, in order, to start them.
    pub(crate) fn take_ready(&self, limit: usize) -> Vec<TaskLease> {
        let mut inner = self.lock();
        let mut taken = Vec::new();
        while taken.len() < limit
            && let Some(task) = inner.ready.pop_front()
        {
            // One that was dropped in between is not started.
            if let Some(state @ State::Pending) = inner.states.get_mut(&task) {
                *state = State::Starting;
                taken.push(task);
            }
        }
        taken
    }

    /// Notes that a task runs; what comes back tells its run to stop.
    pub(crate) fn started(&self, task: TaskLease) -> Stop {
        let (sender, run) = stop();
        let since = Instant::now();
        let running = State::Running {
            stop: sender,
            since,
        };
        self.lock().states.insert(task, running);
        run
    }

    /// Notes that a run has ended and will be reported.
    pub(crate) fn reporting(&self, task: TaskLease) {
        self.lock().states.insert(task, State::Reporting);
    }

    /// Forgets a claim: reported, or handed back.
    pub(crate) fn remove(&self, task: TaskLease) {
        self.lock().states.remove(&task);
        self.changed.notify_waiters();
    }

    /// Forgets every claim that has not begun to start, and returns them: to be handed back.
    pub(crate) fn take_pending(&self) -> Vec<TaskLease> {
        let mut inner = self.lock();
        inner.ready.clear();
        let pending: Vec<TaskLease> = inner
            .states
            .iter()
            .filter(|(_, state)| matches!(state, State::Pending))
            .map(|(task, _)| *task)
            .collect();
        for task in &pending {
            inner.states.remove(task);
        }
        drop(inner);
        self.changed.notify_waiters();
        pending
    }

    /// Tells a run to stop; false if it does not run here, or that is no news to it.
    pub(crate) fn stop(&self, task: TaskLease, reason: StopReason) -> bool {
        match self.lock().states.get(&task) {
            Some(State::Running { stop, .. }) => stop.tell(reason),
            _ => false,
        }
    }

    /// Tells every run to stop; returns to how many that is news.
    pub(crate) fn stop_all(&self, reason: StopReason) -> usize {
        let inner = self.lock();
        let told =
            |state: &&State| matches!(state, State::Running { stop, .. } if stop.tell(reason));
        inner.states.values().filter(told).count()
    }

    /// What runs now and ran at that moment already.
    pub(crate) fn running_since(&self, moment: Instant) -> Vec<TaskLease> {
        let old_enough =
            |state: &State| matches!(state, State::Running { since, .. } if *since <= moment);
        self.lock()
            .states
            .iter()
            .filter(|(_, state)| old_enough(state))
            .map(|(task, _)| *task)
            .collect()
    }

    /// Whether anything at all is held.
    pub(crate) fn is_empty(&self) -> bool {
        let inner = self.lock();
        let mut states = inner.states.values();
        states.all(|state| matches!(state, State::GivenUp { .. }))
    }

    /// Waits until nothing is held.
    pub(crate) async fn until_empty(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.is_empty() {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn task(lease: i32) -> TaskLease {
        TaskLease {
            id: Uuid::nil(),
            lease,
        }
    }

    #[test]
    fn a_claim_that_comes_twice_is_taken_once() {
        let held = Held::default();
        assert!(held.insert(task(1)));
        assert!(!held.insert(task(1)));
        held.make_ready([task(1), task(1)]);
        assert_eq!(held.take_ready(9), [task(1)]);
        assert!(!held.insert(task(1)), "nor while it starts");
        let _stop = held.started(task(1));
        assert!(!held.insert(task(1)), "nor while it runs");
        assert!(
            held.insert(task(2)),
            "a later claim of the same task is another"
        );
    }

    #[test]
    fn what_is_given_up_comes_back_only_when_postgres_says_that_it_does_not_run() {
        let held = Held::default();
        held.insert(task(1));
        let before = Instant::now();
        held.give_up(task(1));
        assert!(held.is_empty() && !held.contains(task(1)));
        assert!(!held.insert(task(1)), "a message that comes late");
        held.forget_given_up(&HashSet::new(), before);
        assert!(!held.insert(task(1)), "an answer that is older");
        held.forget_given_up(&HashSet::from([task(1)]), Instant::now());
        assert!(!held.insert(task(1)), "it still runs, by that answer");
        held.forget_given_up(&HashSet::new(), Instant::now());
        assert!(held.insert(task(1)));
    }

    #[test]
    fn what_is_handed_back_is_not_started() {
        let held = Held::default();
        held.insert(task(1));
        held.make_ready([task(1)]);
        assert_eq!(held.take_pending(), [task(1)]);
        assert!(held.take_ready(9).is_empty());
        assert!(held.is_empty());
    }

    #[test]
    fn only_a_run_is_told_to_stop() {
        let held = Held::default();
        held.insert(task(1));
        assert!(
            !held.stop(task(1), StopReason::Cancelled),
            "it does not run yet"
        );
        let before = Instant::now();
        let run = held.started(task(1));
        assert!(held.running_since(before).is_empty());
        assert_eq!(held.running_since(Instant::now()), [task(1)]);
        assert_eq!(held.stop_all(StopReason::LeaseLost), 1);
        assert!(run.is_lease_lost());
    }
}
