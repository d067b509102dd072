//! The limit: whole lives as SQL alone, the product's own statements with nothing around them.

use std::time::{Duration, Instant};

use anyhow::Result;
use taskmaster_core::{Outcome, TaskLease, TaskStatus, Verdict, When};
use taskmaster_store::claim::{Marks, claim_on};
use taskmaster_store::finish::{Ended, Finish, finish};
use taskmaster_store::start::{Holder, start};
use taskmaster_store::workers::{Registration, register};
use taskmaster_store::{Connections, Kept, PgPool, submit};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Scale;
use crate::figures::Report;
use crate::system::System;
use crate::tasks::stored_no_op;

const BATCH: usize = 500;
const CONNECTIONS: usize = 2;

/// The limit alone.
pub(crate) async fn measure(
    system: &mut System<'_>,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let pool = system.database("bench_limit").await?;
    lives(&pool, 1).await?;
    let mut runs = Vec::new();
    for _ in 0..scale.runs {
        runs.push(lives(&pool, scale.limit_seconds).await?);
    }
    pool.close().await;
    report.add("limit: SQL alone", "tasks/s", runs);
    system.drop_database("bench_limit").await
}

/// Lives per second: each connection takes a batch in, claims one, starts and finishes what it claimed, and so on.
pub(crate) async fn lives(pool: &PgPool, seconds: u64) -> Result<f64> {
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let mut connections = JoinSet::new();
    for number in 0..CONNECTIONS {
        let pool = pool.clone();
        connections.spawn(async move {
            let holder = registered(&pool, &format!("limit-{number}")).await?;
            // As the product's own hot statements have it.
            let connection = Kept::new(pool);
            let mut lived = 0;
            while Instant::now() < end {
                lived += live(&connection, holder).await?;
            }
            anyhow::Ok(lived)
        });
    }
    let mut lived = 0;
    while let Some(more) = connections.join_next().await {
        lived += more??;
    }
    Ok(f64::from(lived) / began.elapsed().as_secs_f64())
}

/// One batch; how many of it came to their end.
async fn live(connection: &Kept, holder: Holder) -> Result<u32> {
    let tasks: Vec<_> = (0..BATCH).map(|_| stored_no_op(When::Now)).collect();
    submit::submit(connection, &tasks).await?;
    let plan = [holder.worker_id; BATCH];
    let claimed = claim_on(connection, &plan, &mut Marks::default()).await?;
    let claimed: Vec<TaskLease> = claimed.into_iter().map(|claimed| claimed.task).collect();
    let ended = start_and_finish(connection, holder, claimed).await?;
    Ok(u32::try_from(ended.len())?)
}

/// What a worker writes of tasks that it was given and that take no time; those that came to their end.
pub(crate) async fn start_and_finish(
    connections: &impl Connections,
    holder: Holder,
    given: Vec<TaskLease>,
) -> Result<Vec<Ended>> {
    let started = start(connections, holder, given).await?;
    let ends = started.into_iter().map(|started| Finish {
        task: started.task,
        outcome: Outcome::Completed,
        verdict: Verdict::Final(TaskStatus::Completed),
        exit_code: Some(0),
        signal: None,
        error_message: None,
    });
    Ok(finish(connections, holder.worker_id, ends.collect()).await?)
}

/// A worker in name only.
pub(crate) async fn registered(pool: &PgPool, name: &str) -> Result<Holder> {
    let incarnation = Uuid::now_v7();
    let registration = Registration {
        name,
        incarnation,
        slots: 500,
        host: "localhost",
        pid: 0,
        version: "0",
        heartbeat_timeout_seconds: 3600,
    };
    Ok(Holder {
        worker_id: register(pool, &registration).await?,
        incarnation,
    })
}
