//! Many workers: each with a queue, a heartbeat and statements of its own as any worker has, but all in this process, so that
//! a machine of two processors can have five hundred.

use std::time::Duration;

use anyhow::Result;
use taskmaster_broker::{Assignment, BrokerConfig, WorkerMessage, consume_assignments};
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
        for number in 0..count {
            let name = format!("light-{count}-{number}");
            let holder = registered(&pool, &name).await?;
            let config = BrokerConfig::new(system.stack.amqp_url(), system.stack.prefix())?;
            let (ready, is_ready) = watch::channel(false);
            connected.push(is_ready);
            running.spawn(run(pool.clone(), config, name, holder, ready, stop.clone()));
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
            format!("drain, {count} workers in one process"),
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

async fn run(
    pool: PgPool,
    config: BrokerConfig,
    name: String,
    holder: Holder,
    ready: watch::Sender<bool>,
    stop: CancellationToken,
) -> Result<()> {
    let (sender, mut messages) = mpsc::channel(16);
    let consuming = tokio::spawn(consume_assignments(
        config,
        name,
        sender,
        ready,
        stop.clone(),
    ));
    let mut tick = tokio::time::interval(HEARTBEAT);
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(WorkerMessage::Assign { tasks }) => live(&pool, holder, tasks).await?,
                Some(_) => {}
                None => break,
            },
            _ = tick.tick() => {
                let mut connection = acquire(&pool).await?;
                workers::heartbeat(&mut connection, holder, 500, false).await?;
            }
        }
    }
    consuming.await?;
    workers::sign_off(&pool, holder).await?;
    Ok(())
}

async fn live(pool: &PgPool, holder: Holder, tasks: Vec<Assignment>) -> Result<()> {
    let leases = tasks
        .into_iter()
        .map(|Assignment { id, lease, .. }| TaskLease { id, lease });
    start_and_finish(pool, holder, leases.collect()).await?;
    Ok(())
}
