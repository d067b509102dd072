//! What others do to it: a transaction that is held open, long readers, and more work than it can do.

use std::time::{Duration, Instant};

use anyhow::Result;
use taskmaster_core::When;
use taskmaster_store::submit;
use taskmaster_testkit::sqlx::{self, Connection, PgConnection};
use tokio::task::JoinSet;

use crate::Scale;
use crate::figures::Report;
use crate::system::{MANY_SLOTS, System};
use crate::tasks::stored_no_op;
use crate::throughput::{WORKERS, flow};

const READERS: usize = 4;
/// Each of five kinds, as often as there are runs: long enough for some ten thousands of dead rows a second to pile up.
const HOSTILE_SECONDS: u64 = 20;
/// Tasks that are taken in together when there are too many of them.
const BATCH: u32 = 500;

pub(crate) async fn measure(
    system: &mut System<'_>,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let seconds = scale.sustained_seconds.min(HOSTILE_SECONDS);
    let _workers = system.workers(WORKERS, MANY_SLOTS).await?;
    flow(system, 3).await?;
    let (mut clean, mut held, mut read) = (Vec::new(), Vec::new(), Vec::new());
    let (mut over, mut recovered) = (Vec::new(), Vec::new());
    for _ in 0..scale.runs {
        let rate = flow(system, seconds).await?;
        clean.push(rate);
        held.push(while_a_transaction_is_open(system, seconds).await? / rate);
        read.push(while_others_read(system, seconds).await? / rate);
        over.push(oversupplied(system, 2.0 * rate, seconds).await? / rate);
        recovered.push(flow(system, seconds).await? / rate);
    }
    report.add("hostile: sustained, nothing else", "tasks/s", clean);
    for (name, ratios) in [
        ("hostile: a transaction held open", held),
        ("hostile: four long readers", read),
        ("hostile: twice the supply", over),
        ("hostile: after all that", recovered),
    ] {
        report.add(format!("{name}, against nothing else"), "ratio", ratios);
    }
    Ok(())
}

/// Nothing that is deleted or updated meanwhile can be cleaned away.
async fn while_a_transaction_is_open(system: &System<'_>, seconds: u64) -> Result<f64> {
    let mut connection = PgConnection::connect(system.stack.database_url()).await?;
    let mut transaction = connection
        .begin_with("begin isolation level repeatable read")
        .await?;
    // Its snapshot, and an id that counts as running.
    sqlx::query("select pg_current_xact_id(), count(*) from workers")
        .execute(&mut *transaction)
        .await?;
    let rate = flow(system, seconds).await;
    transaction.rollback().await?;
    rate
}

/// Each reads the whole history, over and over.
async fn while_others_read(system: &System<'_>, seconds: u64) -> Result<f64> {
    let mut readers: JoinSet<Result<()>> = JoinSet::new();
    for _ in 0..READERS {
        let mut connection = PgConnection::connect(system.stack.database_url()).await?;
        readers.spawn(async move {
            loop {
                sqlx::query("select count(distinct command) from all_tasks")
                    .execute(&mut connection)
                    .await?;
                // Reports run every so often, not without a pause: four that never pause take both processors.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    flow(system, seconds).await
}

/// Tasks per second that end while so many are taken in, whatever waits.
async fn oversupplied(system: &System<'_>, rate: f64, seconds: u64) -> Result<f64> {
    let pace = Duration::from_secs_f64(f64::from(BATCH) / rate);
    let mut tick = tokio::time::interval(pace);
    let began = Instant::now();
    let (before, since) = system.ended().await?;
    while began.elapsed() < Duration::from_secs(seconds) {
        tick.tick().await;
        let tasks: Vec<_> = (0..BATCH).map(|_| stored_no_op(When::Now)).collect();
        submit::submit(&system.pool, &tasks).await?;
    }
    let (ended, at) = system.ended().await?;
    system.until_drained().await?;
    Ok((ended - before) as f64 / (at - since).as_seconds_f64())
}
