//! What becomes of a new number of replicas, slot by slot: Swarm is only looked at. Pure, but for what is told.
//!
//! A worker is a slot here. Swarm replaces tasks of its own accord, within their slots, and that is no part of the change.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bollard::models::Task;

use super::task::{in_slot, is_running, is_wanted};
use crate::steps::{tell, tell_failure};
use crate::{ScaleFailure, ScaleOutcome, StepKind, Steps};

/// A change under way.
#[derive(Debug)]
pub(super) struct Change {
    service: String,
    /// The slots that were to run before, each with its task.
    before: BTreeMap<i64, String>,
    created: BTreeSet<i64>,
    started: BTreeSet<i64>,
    /// The slots that were told to go.
    draining: BTreeSet<i64>,
    /// What Swarm last said was wrong with a new one.
    reasons: BTreeMap<i64, String>,
    is_over: bool,
}

impl Change {
    /// A change of the service of this name that has these tasks before it.
    pub(super) fn from(service: String, before: &[Task]) -> Self {
        let wanted = before.iter().filter(|task| is_wanted(task));
        Self {
            service,
            before: wanted
                .filter_map(|task| Some((task.slot?, task.id.clone()?)))
                .collect(),
            created: BTreeSet::new(),
            started: BTreeSet::new(),
            draining: BTreeSet::new(),
            reasons: BTreeMap::new(),
            is_over: false,
        }
    }

    /// The service, with its stack's name.
    pub(super) fn service(&self) -> &str {
        &self.service
    }

    /// Tells what is new about the tasks. Whether that was all: `count` of them are to run, and the new ones do.
    pub(super) fn see(&mut self, tasks: &[Task], count: u32, steps: &Steps) -> bool {
        let mut wanted = BTreeSet::new();
        for task in tasks {
            let Some(slot) = task.slot else { continue };
            let is_new = !self.before.contains_key(&slot);
            let error = task.status.as_ref().and_then(|status| status.err.clone());
            if let Some(error) = error.filter(|error| is_new && !error.is_empty()) {
                self.reasons.insert(slot, error);
            }
            if !is_wanted(task) {
                continue;
            }
            wanted.insert(slot);
            if is_new && self.created.insert(slot) {
                tell(steps, &self.name(slot), StepKind::Created);
            }
            if is_new && is_running(task) && self.started.insert(slot) {
                tell(steps, &self.name(slot), StepKind::Started);
            }
        }
        for slot in self.before.keys() {
            if !wanted.contains(slot) && self.draining.insert(*slot) {
                tell(steps, &self.name(*slot), StepKind::Draining);
            }
        }
        self.is_over = wanted.len() == usize::try_from(count).unwrap_or(usize::MAX)
            && self.created.is_subset(&self.started);
        self.is_over
    }

    /// The tasks that were told to go.
    pub(super) fn going(&self) -> HashSet<String> {
        let going = self.draining.iter();
        going
            .filter_map(|slot| self.before.get(slot).cloned())
            .collect()
    }

    /// What came of it in its time. `error`: why Swarm could not be looked at any more.
    pub(super) fn end(self, error: Option<String>, steps: &Steps) -> ScaleOutcome {
        let named = |slots: &BTreeSet<i64>| slots.iter().map(|slot| self.name(*slot)).collect();
        let late = self.created.difference(&self.started).map(|slot| {
            let reason = self.reasons.get(slot).cloned();
            ScaleFailure {
                name: self.name(*slot),
                step: StepKind::Started,
                reason: reason.unwrap_or_else(|| "Swarm has not started it yet".to_owned()),
            }
        });
        let mut failed: Vec<ScaleFailure> = late.collect();
        if !self.is_over && failed.is_empty() {
            failed.push(ScaleFailure {
                name: self.service.clone(),
                step: StepKind::Created,
                reason: error.unwrap_or_else(|| "Swarm has not made the change yet".to_owned()),
            });
        }
        for failure in &failed {
            tell_failure(steps, &failure.name, &failure.reason);
        }
        ScaleOutcome {
            started: named(&self.started),
            draining: named(&self.draining),
            failed,
        }
    }

    fn name(&self, slot: i64) -> String {
        in_slot(&self.service, slot)
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{TaskState, TaskStatus};
    use tokio::sync::mpsc;

    use super::*;

    fn task(slot: i64, id: &str, desired: TaskState, state: TaskState) -> Task {
        Task {
            id: Some(id.to_owned()),
            slot: Some(slot),
            desired_state: Some(desired),
            status: Some(TaskStatus {
                state: Some(state),
                ..TaskStatus::default()
            }),
            ..Task::default()
        }
    }

    fn runs(slot: i64) -> Task {
        let id = format!("task-{slot}");
        task(slot, &id, TaskState::RUNNING, TaskState::RUNNING)
    }

    fn told(steps: &mut mpsc::UnboundedReceiver<crate::Step>) -> Vec<(String, StepKind)> {
        std::iter::from_fn(|| steps.try_recv().ok())
            .map(|step| (step.name, step.kind))
            .collect()
    }

    fn step(name: &str, kind: StepKind) -> (String, StepKind) {
        (name.to_owned(), kind)
    }

    #[test]
    fn a_new_one_is_started_when_it_runs_and_named_if_it_does_not() {
        let (steps, mut arriving) = mpsc::unbounded_channel();
        let mut change = Change::from("s_worker".to_owned(), &[runs(1)]);
        assert!(!change.see(&[runs(1)], 3, &steps), "not yet seen by Swarm");
        let pending = |slot, id| task(slot, id, TaskState::RUNNING, TaskState::PENDING);
        let tasks = [runs(1), runs(2), pending(3, "a")];
        assert!(!change.see(&tasks, 3, &steps));
        assert_eq!(
            told(&mut arriving),
            [
                step("s_worker.2", StepKind::Created),
                step("s_worker.2", StepKind::Started),
                step("s_worker.3", StepKind::Created),
            ]
        );
        // Swarm gives up on it, and tries another one in its place. One of another slot is replaced as well.
        let mut rejected = task(3, "a", TaskState::SHUTDOWN, TaskState::REJECTED);
        if let Some(status) = &mut rejected.status {
            status.err = Some("No such image".to_owned());
        }
        let again = task(1, "again", TaskState::READY, TaskState::PREPARING);
        let tasks = [again, runs(2), rejected, pending(3, "b")];
        assert!(!change.see(&tasks, 3, &steps));
        assert_eq!(told(&mut arriving), []);
        let outcome = change.end(None, &steps);
        assert_eq!(outcome.started, ["s_worker.2"]);
        assert_eq!(outcome.draining, [""; 0]);
        let failed = ScaleFailure {
            name: "s_worker.3".to_owned(),
            step: StepKind::Started,
            reason: "No such image".to_owned(),
        };
        assert_eq!(outcome.failed, [failed]);
        assert_eq!(told(&mut arriving), [step("s_worker.3", StepKind::Failed)]);
    }

    #[test]
    fn those_that_an_earlier_change_sent_off_are_no_part_of_it() {
        let (steps, mut arriving) = mpsc::unbounded_channel();
        let drains = |slot, id| task(slot, id, TaskState::SHUTDOWN, TaskState::RUNNING);
        let before = [runs(1), runs(2), drains(2, "old"), drains(3, "older")];
        let mut change = Change::from("s_worker".to_owned(), &before);
        let after = [
            runs(1),
            drains(2, "task-2"),
            drains(2, "old"),
            drains(3, "older"),
        ];
        assert!(change.see(&after, 1, &steps));
        assert_eq!(
            told(&mut arriving),
            [step("s_worker.2", StepKind::Draining)]
        );
        assert_eq!(change.going(), HashSet::from(["task-2".to_owned()]));
        let outcome = change.end(None, &steps);
        assert_eq!(outcome.draining, ["s_worker.2"]);
        assert_eq!((outcome.started.len(), outcome.failed.len()), (0, 0));
    }

    #[test]
    fn that_swarm_could_not_be_looked_at_is_a_failure_of_what_was_changed() {
        let (steps, _arriving) = mpsc::unbounded_channel();
        let change = Change::from("s_worker".to_owned(), &[runs(1)]);
        let outcome = change.end(Some("away".to_owned()), &steps);
        let failed = outcome.failed.first();
        assert_eq!(
            failed.map(|it| (&*it.name, &*it.reason)),
            Some(("s_worker", "away"))
        );
    }
}
