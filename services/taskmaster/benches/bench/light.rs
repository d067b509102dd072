//! Many workers: each with a queue, a heartbeat and statements of its own as any worker has, but all in this process, on 16
//! connections to Postgres, so that a machine of two processors can have five hundred. Like any worker, each starts
//! together what has come to it by then, and tells of what it ended.

use std::time::Duration;

use anyhow::Result;
use taskmaster_broker::{
    Assignment, BrokerConfig, EventPublisher, TaskEvent, WorkerMessage, consume_assignments,
};
use taskmaster_core::TaskLease;
use taskmaster_store::start::Holder;
use taskmaster_store::{PgPool, StoreConfig, acquire, workers};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Scale;
use crate::figures::Report;
use crate::limit::{registered, start_and_finish};
use crate::system::System;
use crate::throughput::drain;

const HEARTBEAT: Duration = Duration::from_secs(1);

/// The drain with 1, 10, 100 and 500 of them.
pub(crate) async fn measure(
    system: &mut System<'_>,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let pool = StoreConfig::new(system.stack.database_url().to_owned().into(), 16).pool()?;
    for count in [1, 10, 100, 500] {
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        let mut connected = Vec::new();
        let broker = BrokerConfig::new(system.stack.amqp_url(), system.stack.prefix())?;
        let events = EventPublisher::spawn(broker.clone(), "light workers", stop.clone());
        for number in 0..count {
            let name = format!("light-{count}-{number}");
            let (ready, is_ready) = watch::channel(false);
            connected.push(is_ready);
            let worker = Light {
                pool: pool.clone(),
                holder: registered(&pool, &name).await?,
                events: events.clone(),
                name,
            };
            running.spawn(worker.run(broker.clone(), ready, stop.clone()));
        }
        for mut is_ready in connected {
            is_ready.wait_for(|ready| *ready).await?;
        }
        drain(system, scale.drain / 10).await?;
        let mut runs = Vec::new();
        for _ in 0..scale.runs {
            runs.push(drain(system, scale.drain).await?);
        }
        report.add(
            format!("drain, light workers in one process: {count}"),
            "tasks/s",
            runs,
        );
        stop.cancel();
        while let Some(ended) = running.join_next().await {
            ended??;
        }
    }
    Ok(())
}

struct Light {
    name: String,
    pool: PgPool,
    holder: Holder,
    events: EventPublisher,
}

impl Light {
    async fn run(
        self,
        broker: BrokerConfig,
        ready: watch::Sender<bool>,
        stop: CancellationToken,
    ) -> Result<()> {
        let (sender, mut messages) = mpsc::channel(16);
        let name = self.name.clone();
        let consuming = tokio::spawn(consume_assignments(broker, name, sender, ready, stop));
        let mut tick = tokio::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                message = messages.recv() => {
                    let Some(first) = message else { break };
                    let more = std::iter::from_fn(|| messages.try_recv().ok());
                    let tasks = std::iter::once(first).chain(more).flat_map(assigned);
                    self.live(tasks.collect()).await?;
                }
                _ = tick.tick() => {
                    let mut connection = acquire(&self.pool).await?;
                    workers::heartbeat(&mut connection, self.holder, 500, false).await?;
                }
            }
        }
        consuming.await?;
        workers::sign_off(&self.pool, self.holder).await?;
        Ok(())
    }

    async fn live(&self, tasks: Vec<TaskLease>) -> Result<()> {
        let ended = start_and_finish(&self.pool, self.holder, tasks).await?;
        self.events.tasks(ended.into_iter().map(|ended| TaskEvent {
            id: ended.id,
            status: ended.status,
            assigned_worker_name: Some(self.name.clone()),
        }));
        Ok(())
    }
}

fn assigned(message: WorkerMessage) -> impl Iterator<Item = TaskLease> {
    let tasks = match message {
        WorkerMessage::Assign { tasks } => tasks,
        _ => Vec::new(),
    };
    let leases = |Assignment { id, lease, .. }| TaskLease { id, lease };
    tasks.into_iter().map(leases)
}
