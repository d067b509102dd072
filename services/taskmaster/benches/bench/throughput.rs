//! How many tasks go through: a backlog, and producers and workers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use taskmaster_core::{NewTask, When};
use taskmaster_store::submit;
use taskmaster_testkit::Api;
use taskmaster_testkit::sqlx;
use tokio::task::JoinSet;

use crate::Scale;
use crate::figures::{Report, median};
use crate::limit::lives;
use crate::system::{MANY_SLOTS, System};
use crate::tasks::{no_op, stored_no_op};
use crate::usage::{Cost, Usage};

pub(crate) const WORKERS: usize = 4;
const BATCH: usize = 1000;
const PRODUCERS: usize = 2;
/// Producers wait while more than this has not ended.
const BACKLOG: i64 = 20_000;
/// What is not counted at the beginning.
const WARM_UP: Duration = Duration::from_secs(3);

/// The limit, the drain and the sustained rate, one after the other, as often as `scale` says.
pub(crate) async fn measure(
    system: &mut System<'_>,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let limit_database = system.database("bench_limit").await?;
    let workers = system.workers(WORKERS, MANY_SLOTS).await?;
    let (mut limits, mut drains, mut sustained) = (Vec::new(), Vec::new(), Vec::new());
    let (mut shares, mut costs) = ((Vec::new(), Vec::new()), Vec::new());
    let mut times = Vec::new();
    // Once without being counted: prepared statements, the workers' windows, the first pages of each table.
    lives(&limit_database, 1).await?;
    drain(system, scale.drain / 10).await?;
    let usage = Usage::of(system, &workers)?;
    for _ in 0..scale.runs {
        let limit = lives(&limit_database, scale.limit_seconds).await?;
        let drained = drain(system, scale.drain).await?;
        let (before, busy) = (Cost::of(system).await?, usage.seconds()?);
        let flowed = flow(system, scale.sustained_seconds).await?;
        let after = Cost::of(system).await?;
        let now = usage.seconds()?;
        let used = std::array::from_fn(|kind| now[kind] - busy[kind]);
        times.push((used, after.tasks_since(before)));
        costs.push(after.since(before)?);
        shares.0.push(drained / limit);
        shares.1.push(flowed / limit);
        limits.push(limit);
        drains.push(drained);
        sustained.push(flowed);
    }
    limit_database.close().await;
    system.drop_database("bench_limit").await?;
    report.add("limit: SQL alone", "tasks/s", limits);
    report.add_share("drain", "tasks/s", drains, Some(median(&shares.0)));
    report.add_share("sustained", "tasks/s", sustained, Some(median(&shares.1)));
    Cost::report(&costs, report);
    Usage::report_seconds(&times, report);
    usage.report_peaks(report)
}

/// Tasks per second of a backlog of `count` no-ops that falls due at one moment: from then to the last end.
pub(crate) async fn drain(system: &System<'_>, count: u32) -> Result<f64> {
    drain_of(system, count, stored_no_op).await
}

/// The same of other tasks.
pub(crate) async fn drain_of(
    system: &System<'_>,
    count: u32,
    task: impl Fn(When) -> NewTask,
) -> Result<f64> {
    let due = system.now().await? + TimeDelta::milliseconds(1500 + i64::from(count) / 25);
    for batch in 0..count.div_ceil(1000) {
        let in_batch = (count - batch * 1000).min(1000);
        let tasks: Vec<_> = (0..in_batch).map(|_| task(When::At(due))).collect();
        submit::submit(&system.pool, &tasks).await?;
    }
    ensure!(
        system.now().await? < due,
        "taking the tasks in took too long"
    );
    system.until_drained().await?;
    let (ended, last): (i64, DateTime<Utc>) = sqlx::query_as(
        "select count(*), max(finished_at) from finished_tasks where scheduled_at = $1 and status = 'completed'",
    )
    .bind(due)
    .fetch_one(&system.pool)
    .await?;
    ensure!(ended == i64::from(count), "{ended} of {count} completed");
    Ok(f64::from(count) / (last - due).as_seconds_f64())
}

/// Tasks per second that end while producers submit over HTTP, as fast as they can.
pub(crate) async fn flow(system: &System<'_>, seconds: u64) -> Result<f64> {
    let (at_first, _) = system.ended().await?;
    let producers = Producers::start(system.api());
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    let began = tokio::time::Instant::now();
    let mut first = None;
    let (ended, at) = loop {
        tick.tick().await;
        let (ended, at) = system.ended().await?;
        let behind = producers.accepted.load(Ordering::Relaxed) - (ended - at_first);
        producers.waits.store(behind > BACKLOG, Ordering::Relaxed);
        if first.is_none() && began.elapsed() >= WARM_UP {
            first = Some((ended, at));
        }
        if began.elapsed() >= WARM_UP + Duration::from_secs(seconds) {
            break (ended, at);
        }
    };
    let accepted = producers.stop().await?;
    system.until_drained().await?;
    let (all, _) = system.ended().await?;
    ensure!(
        all - at_first == accepted,
        "{} of {accepted} ended",
        all - at_first
    );
    let (before, since) = first.unwrap_or((ended, at));
    Ok((ended - before) as f64 / (at - since).as_seconds_f64())
}

/// Clients that submit batches, each the next one when it has the answer to the last.
struct Producers {
    accepted: Arc<AtomicI64>,
    waits: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    running: JoinSet<Result<()>>,
}

impl Producers {
    fn start(api: &Api) -> Self {
        let mut producers = Self {
            accepted: Arc::default(),
            waits: Arc::default(),
            stop: Arc::default(),
            running: JoinSet::new(),
        };
        let body: Arc<str> = Value::from(vec![no_op(); BATCH]).to_string().into();
        for _ in 0..PRODUCERS {
            let (api, body) = (api.clone(), body.clone());
            let (accepted, waits, stop) = (
                producers.accepted.clone(),
                producers.waits.clone(),
                producers.stop.clone(),
            );
            producers.running.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    if waits.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        continue;
                    }
                    api.submit_written(&body).await?;
                    accepted.fetch_add(BATCH as i64, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        producers
    }

    async fn stop(mut self) -> Result<i64> {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.running.join_next().await {
            ended??;
        }
        Ok(self.accepted.load(Ordering::Relaxed))
    }
}
