//! The starter: commits starts, as many at a time as there are slots and tasks, and only then lets them run.

use std::collections::HashSet;
use std::sync::Arc;

use taskmaster_broker::{EventPublisher, TaskEvent};
use taskmaster_core::{TaskLease, TaskStatus};
use taskmaster_runtime::{Backoff, Pace};
use taskmaster_store::start::{self, Holder, Started};
use taskmaster_store::{Kept, bounded};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::held::Held;
use crate::tenure::{Tenure, Term};

/// The most starts that are committed together.
const BATCH: usize = 500;

pub(crate) struct Starter {
    pub(crate) connection: Kept,
    pub(crate) holder: Holder,
    pub(crate) worker_name: String,
    pub(crate) held: Arc<Held>,
    pub(crate) tenure: Arc<Tenure>,
    pub(crate) slots: Arc<Semaphore>,
    /// How many there are.
    pub(crate) slot_count: usize,
    pub(crate) events: EventPublisher,
}

impl Starter {
    /// Starts what is ready until `shutdown`, and hands each started task to `run` with the slot it takes.
    pub(crate) async fn run(
        self,
        shutdown: CancellationToken,
        run: impl Fn(Started, Term, OwnedSemaphorePermit),
    ) {
        let mut pace = Pace::new(self.slot_count);
        loop {
            let first_slot = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                slot = self.ready_slot() => slot,
            };
            let Some(first_slot) = first_slot else { return };
            let mut slots = vec![first_slot];
            if let Some(Some(mut more)) = pace.rest(self.ready_slots(pace.enough())).await {
                slots.extend(std::iter::from_fn(|| more.split(1)));
            }
            while slots.len() < BATCH
                && let Ok(slot) = self.slots.clone().try_acquire_owned()
            {
                slots.push(slot);
            }
            let tasks = self.held.take_ready(slots.len());
            if tasks.is_empty() {
                continue;
            }
            let began = Instant::now();
            let Some((started, term)) = self.commit(&tasks).await else {
                tracing::warn!(
                    tasks.count = tasks.len(),
                    "starts were not answered in time, gives them up"
                );
                for task in tasks {
                    self.held.give_up(task);
                }
                continue;
            };
            pace.done(tasks.len(), began);
            let is_started: HashSet<TaskLease> =
                started.iter().map(|started| started.task).collect();
            for task in tasks {
                if !is_started.contains(&task) {
                    tracing::debug!(task.id = %task.id, task.lease = task.lease, "stale assignment, dropped");
                    self.held.remove(task);
                }
            }
            self.events.tasks(started.iter().map(|started| TaskEvent {
                id: started.task.id,
                status: TaskStatus::Running,
                assigned_worker_name: Some(self.worker_name.clone()),
            }));
            for (started, slot) in started.into_iter().zip(slots) {
                run(started, term, slot);
            }
        }
    }

    /// Waits for a ready task and a free slot.
    async fn ready_slot(&self) -> Option<OwnedSemaphorePermit> {
        self.held.until_ready(1).await;
        self.slots.clone().acquire_owned().await.ok()
    }

    /// Waits until so many can be started, with the slot that it has already; returns the others.
    async fn ready_slots(&self, count: usize) -> Option<OwnedSemaphorePermit> {
        let more = u32::try_from(count - 1).ok()?;
        let slots = self.slots.clone().acquire_many_owned(more).await;
        self.held.until_ready(count).await;
        slots.ok()
    }

    /// Commits the starts, waiting for Postgres while it is away. A start whose answer was lost is looked up before it
    /// is tried again, so that a task that was started is run. But not beyond the term in which it was first tried:
    /// then somebody may be giving these tasks to others right now. `None` in that case; the heartbeat finds them again.
    async fn commit(&self, tasks: &[TaskLease]) -> Option<(Vec<Started>, Term)> {
        let mut backoff = Backoff::default();
        let mut uncertain = false;
        let term = self.tenure.wait().await;
        loop {
            let attempt = async {
                let mut started = Vec::new();
                if uncertain {
                    started = start::running(&self.connection, self.holder, tasks).await?;
                }
                let is_started =
                    |task: &&TaskLease| started.iter().any(|started| started.task == **task);
                let rest: Vec<TaskLease> = tasks
                    .iter()
                    .filter(|task| !is_started(task))
                    .copied()
                    .collect();
                let more = start::start(&self.connection, self.holder, rest.clone()).await?;
                if uncertain && more.len() < rest.len() {
                    // The first try may have been waiting in Postgres all the time, and been committed just now.
                    return start::running(&self.connection, self.holder, tasks).await;
                }
                Ok(started.into_iter().chain(more).collect())
            };
            let answer = bounded(attempt).await;
            if self.tenure.term() != Some(term) {
                return None;
            }
            match answer {
                Ok(started) => return Some((started, term)),
                Err(error) => {
                    uncertain = true;
                    if backoff.is_fresh() {
                        tracing::warn!(%error, tasks.count = tasks.len(), "starts wait for Postgres");
                    }
                    backoff.wait().await;
                }
            }
        }
    }
}
