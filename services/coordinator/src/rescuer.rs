//! The rescuer: finds workers that are lost and gives what they held to others.

use std::sync::Arc;
use std::time::Duration;

use taskmaster_broker::{EventPublisher, TaskEvent, WorkerEvent};
use taskmaster_core::RetryPolicy;
use taskmaster_runtime::{Next, Periodic};
use taskmaster_store::PgPool;
use taskmaster_store::rescue::{self, Of};
use tokio::sync::Notify;

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(500);

/// Marks workers offline and rescues their tasks.
pub struct Rescuer {
    pool: PgPool,
    events: EventPublisher,
    policy: RetryPolicy,
    overdue_grace: Duration,
    dispatch: Arc<Notify>,
}

impl Rescuer {
    /// A rescuer that notifies `dispatch` when something is to be given out again. It ends what has run for
    /// `overdue_grace` longer than its time limit.
    #[must_use]
    pub fn new(
        pool: PgPool,
        events: EventPublisher,
        policy: RetryPolicy,
        overdue_grace: Duration,
        dispatch: Arc<Notify>,
    ) -> Self {
        Self {
            pool,
            events,
            policy,
            overdue_grace,
            dispatch,
        }
    }
}

impl Periodic for Rescuer {
    const NAME: &'static str = "rescuer";

    /// One pass.
    ///
    /// # Errors
    /// When Postgres is away.
    async fn run_once(&mut self) -> anyhow::Result<Next> {
        for name in rescue::mark_offline(&self.pool).await? {
            tracing::warn!(worker.name = name, "its heartbeat stopped: offline");
            self.events.worker(WorkerEvent {
                name,
                status: "offline".to_owned(),
            });
        }
        let mut moved = rescue::rescue(&self.pool, Of::OfflineWorkers, self.policy).await?;
        moved.extend(rescue::end_overdue(&self.pool, self.overdue_grace, self.policy).await?);
        if !moved.is_empty() {
            tracing::info!(tasks.count = moved.len(), "rescued");
            self.events.tasks(moved.iter().map(|ended| TaskEvent {
                id: ended.id,
                status: ended.status,
                assigned_worker_name: None,
            }));
            self.dispatch.notify_one();
        }
        Ok(Next::After(INTERVAL))
    }
}
