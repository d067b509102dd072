//! The dispatcher: gives due tasks to workers that have room, each in turn, and tells them.

use std::collections::HashMap;
use std::time::Duration;

use taskmaster_broker::{
    Assignment, AssignmentPublisher, Delivery, EventPublisher, TaskEvent, WorkerMessage,
};
use taskmaster_core::{RoundRobin, TaskLease, TaskStatus};
use taskmaster_runtime::{Next, Pace, Periodic};
use taskmaster_store::claim::{self, Claimed, Marks};
use taskmaster_store::workers::{self, Available};
use taskmaster_store::{Kept, PgPool};
use tokio::time::Instant;

use crate::supply::Supply;

/// The most tasks one pass claims.
const BATCH: usize = 1000;
/// After a pass that claimed less than half of so many it rests a while. And never longer, whatever the load: each task waits
/// for its claim.
const FEW: usize = 100;
/// What is due and was passed over is locked by someone for a moment.
const LEAST_PAUSE: Duration = Duration::from_millis(1);
/// When every worker has enough to do for several times as long, the next pass comes after this: it gives more at a time.
const AMPLE_PAUSE: Duration = Duration::from_millis(20);
/// The net: when nothing wakes the dispatcher, it looks this often.
const POLL: Duration = Duration::from_secs(1);

/// Claims and publishes.
pub struct Dispatcher {
    pool: PgPool,
    connection: Kept,
    publisher: AssignmentPublisher,
    events: EventPublisher,
    turn: RoundRobin,
    supply: Supply,
    marks: Marks,
    is_ample: bool,
    pace: Pace,
}

impl Dispatcher {
    /// A dispatcher that has served nobody yet.
    #[must_use]
    pub fn new(pool: PgPool, publisher: AssignmentPublisher, events: EventPublisher) -> Self {
        Self {
            connection: Kept::new(pool.clone()),
            pool,
            publisher,
            events,
            turn: RoundRobin::default(),
            supply: Supply::default(),
            marks: Marks::default(),
            is_ample: false,
            pace: Pace::new(FEW),
        }
    }

    async fn pass(&mut self) -> anyhow::Result<Next> {
        // Whatever wakes it: a slot that came free is filled from what its worker has.
        if std::mem::take(&mut self.is_ample) {
            tokio::time::sleep(AMPLE_PAUSE).await;
        }
        self.pace.rest(std::future::pending::<()>()).await;
        let counts = self.supply.is_due();
        if counts {
            self.marks.forget();
        }
        let began = Instant::now();
        let available = workers::available(&self.connection, counts).await?;
        let plan = self.turn.plan(&self.supply.rooms(&available), BATCH);
        let claimed = if plan.is_empty() {
            Vec::new()
        } else {
            claim::claim_on(&self.connection, &plan, &mut self.marks).await?
        };
        if counts {
            self.supply.counted(began.elapsed());
        }
        if let Some(last) = claimed.last() {
            self.turn.served(last.worker_id);
            self.supply.give(&claimed);
            self.deliver(&available, &claimed).await?;
        }
        self.is_ample = self.supply.is_ample(&available);
        self.pace.done(claimed.len(), began);
        // What was not counted may be room, or a task that was given back, that is not seen until it is.
        let sleep = if counts {
            POLL
        } else {
            self.supply.due_in().min(POLL)
        };
        if plan.is_empty() {
            return Ok(Next::After(sleep));
        }
        if claimed.len() == plan.len() {
            return Ok(Next::Now);
        }
        let due_in_ms = claim::next_due_in_ms(&self.connection, &self.marks).await?;
        Ok(Next::After(due_in_ms.map_or(sleep, |ms| {
            Duration::from_millis(ms).clamp(LEAST_PAUSE, sleep.max(LEAST_PAUSE))
        })))
    }

    async fn deliver(
        &mut self,
        available: &[Available],
        claimed: &[Claimed],
    ) -> anyhow::Result<()> {
        let names: HashMap<i32, &str> = available
            .iter()
            .map(|worker| (worker.id, worker.name.as_str()))
            .collect();
        let mut shares: HashMap<&str, Vec<Assignment>> = HashMap::new();
        for claimed in claimed {
            // Every claimed task went to a worker of the plan, and the plan was made of these.
            let Some(name) = names.get(&claimed.worker_id) else {
                continue;
            };
            let TaskLease { id, lease } = claimed.task;
            shares.entry(name).or_default().push(Assignment {
                id,
                lease,
                wait_ms: claimed.wait_ms,
            });
        }
        let messages: Vec<(&str, WorkerMessage)> = shares
            .into_iter()
            .map(|(name, tasks)| (name, WorkerMessage::Assign { tasks }))
            .collect();

        let deliveries = match self.publisher.publish(&messages).await {
            Ok(deliveries) => deliveries,
            Err(error) => {
                tracing::warn!(%error, tasks.count = claimed.len(), "assignments were not published, releases them");
                vec![Delivery::Unconfirmed; messages.len()]
            }
        };
        let mut undelivered = Vec::new();
        for ((name, message), delivery) in messages.iter().zip(deliveries) {
            let WorkerMessage::Assign { tasks } = message else {
                continue;
            };
            if delivery == Delivery::Confirmed {
                self.events.tasks(tasks.iter().map(|task| TaskEvent {
                    id: task.id,
                    status: TaskStatus::Assigned,
                    assigned_worker_name: Some((*name).to_owned()),
                }));
            } else {
                undelivered.extend(tasks.iter().map(|task| TaskLease {
                    id: task.id,
                    lease: task.lease,
                }));
            }
        }
        if !undelivered.is_empty() {
            let count = undelivered.len();
            let released = claim::release(&self.pool, undelivered).await?;
            // An error, so that the next pass comes after a pause: what is refused once is refused again at once.
            anyhow::bail!(
                "{count} assignments were not delivered, {} released",
                released.len()
            );
        }
        Ok(())
    }
}

impl Periodic for Dispatcher {
    const NAME: &'static str = "dispatcher";

    /// One pass: claims up to a batch of due tasks, publishes them, and releases what could not be delivered.
    ///
    /// # Errors
    /// When Postgres or RabbitMQ is away. What was claimed and not delivered was released, or is still assigned
    /// to a worker that finds it at its next heartbeat.
    async fn run_once(&mut self) -> anyhow::Result<Next> {
        // While RabbitMQ cannot take an assignment, tasks wait in Postgres, where they can be seen and cancelled.
        if !self.publisher.is_ready() {
            self.publisher.ensure_ready().await;
        }
        let next = self.pass().await;
        if next.is_err() {
            self.supply.forget();
        }
        next
    }
}
