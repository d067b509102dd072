//! How soon a task starts: from just before the submission's call, all on one clock.
//!
//! `started_at` is when the statement that starts a task begins, not when it is committed. A no-op that has been started
//! ends at once, so that the moment its finish begins, `finished_at`, is after the commit of its start: that is what is
//! measured, and so a little more than the start took.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use taskmaster_testkit::{Api, sqlx};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Scale;
use crate::figures::{Report, percentile};
use crate::system::{MANY_SLOTS, System};
use crate::tasks::no_op;
use crate::throughput::{WORKERS, flow};

const PERCENTILES: [(&str, f64); 4] = [("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)];

pub(crate) async fn measure(
    system: &mut System<'_>,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let _workers = system.workers(WORKERS, MANY_SLOTS).await?;
    let mut idle = Runs::default();
    let mut instructions = Runs::default();
    calls_one_at_a_time(system, 50).await?;
    for _ in 0..scale.runs {
        let calls = calls_one_at_a_time(system, scale.latency).await?;
        idle.add(&ways_of(system, &calls).await?);
        instructions.add_totals(&first_instructions(system, scale.latency / 3).await?);
    }
    idle.report("idle, call to committed start", report);
    idle.report_stretches("idle", report);
    instructions.report("idle, call to the process's first instruction", report);
    let sustained = flow(system, scale.sustained_seconds.min(10)).await?;
    // After this, Postgres has files for its log that it writes again, as one has that has been in use.
    system.checkpoint().await?;
    for (name, rate) in [
        ("at 100/s", 100.0),
        ("at 1,000/s", 1000.0),
        ("at half the sustained rate", sustained / 2.0),
    ] {
        let mut paced = Runs::default();
        for _ in 0..scale.runs {
            let calls = at_rate(system, rate, scale.paced_seconds).await?;
            paced.add(&ways_of(system, &calls).await?);
        }
        paced.report(&format!("{name}, call to committed start"), report);
        paced.report_stretches(name, report);
    }
    Ok(())
}

/// A task's way from the call to the moment its start had been committed, in milliseconds: see [`STRETCHES`].
type Way = [f64; STRETCHES.len()];

/// Where the time goes, each from the one before: statements' beginnings, as Postgres wrote them down.
const STRETCHES: [&str; 4] = [
    "from the call to the statement that takes it in",
    "from there to the one that claims it",
    "from there to the one that starts it",
    "from there to the one that ends it",
];

/// The percentiles of each run.
#[derive(Default)]
struct Runs {
    totals: [Vec<f64>; PERCENTILES.len()],
    stretches: [[Vec<f64>; PERCENTILES.len()]; STRETCHES.len()],
}

impl Runs {
    fn add(&mut self, ways: &[Way]) {
        let totals: Vec<f64> = ways.iter().map(|way| way.iter().sum()).collect();
        self.add_totals(&totals);
        for (i, runs) in self.stretches.iter_mut().enumerate() {
            let milliseconds: Vec<f64> = ways.iter().map(|way| way[i]).collect();
            add(runs, &milliseconds);
        }
    }

    fn add_totals(&mut self, milliseconds: &[f64]) {
        add(&mut self.totals, milliseconds);
    }

    fn report(&self, name: &str, report: &mut Report) {
        for (runs, (percentile, _)) in self.totals.iter().zip(PERCENTILES) {
            let name = format!("latency {name}: {percentile}");
            report.add(name, "ms", runs.clone());
        }
    }

    /// Of each stretch, p50 and p99.
    fn report_stretches(&self, name: &str, report: &mut Report) {
        for (stretch, percentiles) in STRETCHES.into_iter().zip(&self.stretches) {
            for (runs, (percentile, _)) in percentiles.iter().zip(PERCENTILES).step_by(2) {
                let name = format!("latency {name}, of which {stretch}: {percentile}");
                report.add(name, "ms", runs.clone());
            }
        }
    }
}

fn add(runs: &mut [Vec<f64>; PERCENTILES.len()], milliseconds: &[f64]) {
    for (runs, (_, share)) in runs.iter_mut().zip(PERCENTILES) {
        runs.push(percentile(milliseconds, share));
    }
}

fn now_ms() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1000.0)
}

/// The way of each of these tasks.
async fn ways_of(system: &System<'_>, calls: &[(Uuid, f64)]) -> Result<Vec<Way>> {
    let ids: Vec<Uuid> = calls.iter().map(|(id, _)| *id).collect();
    let rows: Vec<(Uuid, Vec<f64>)> = sqlx::query_as(
        "select id, array(select (extract(epoch from at) * 1000)::float8
                          from unnest(array[created_at, picked_at, started_at, finished_at]) at)
         from finished_tasks where id = any ($1) and status = 'completed'",
    )
    .bind(&ids)
    .fetch_all(&system.pool)
    .await?;
    ensure!(
        rows.len() == ids.len(),
        "{} of {} completed",
        rows.len(),
        ids.len()
    );
    let called: HashMap<Uuid, f64> = calls.iter().copied().collect();
    let ways = rows.into_iter().map(|(id, moments)| {
        let mut before = called[&id];
        let mut way = Way::default();
        for (stretch, moment) in way.iter_mut().zip(moments) {
            (*stretch, before) = (moment - before, moment);
        }
        way
    });
    Ok(ways.collect())
}

/// Each a moment after the one before has ended: milliseconds to the committed start.
pub(crate) async fn one_at_a_time(system: &System<'_>, count: u32) -> Result<Vec<f64>> {
    let calls = calls_one_at_a_time(system, count).await?;
    let ways = ways_of(system, &calls).await?;
    Ok(ways.iter().map(|way| way.iter().sum()).collect())
}

async fn calls_one_at_a_time(system: &System<'_>, count: u32) -> Result<Vec<(Uuid, f64)>> {
    let (task, mut calls) = (no_op(), Vec::new());
    for _ in 0..count {
        let called = now_ms()?;
        let id: Uuid = system.api().submit(&task).await?.parse()?;
        calls.push((id, called));
        // Longer than the way to the end, and of a length that no tick of ours has.
        tokio::time::sleep(Duration::from_micros(17_300)).await;
    }
    system.until_drained().await?;
    Ok(calls)
}

/// The process itself says when it began: `date` prints the time.
async fn first_instructions(system: &System<'_>, count: u32) -> Result<Vec<f64>> {
    let task = json!({"argv": ["/bin/date", "+%s%N"]});
    let mut milliseconds = Vec::new();
    for _ in 0..count {
        let called = now_ms()?;
        let id = system.api().submit(&task).await?;
        system.api().wait(&id, "completed").await?;
        let printed: f64 = system.api().output(&id).await?.trim().parse()?;
        milliseconds.push(printed / 1e6 - called);
    }
    Ok(milliseconds)
}

/// At a fixed pace, whatever becomes of the ones before: a call that is made late counts from when it was due. Above
/// a thousand calls in a second, each carries several tasks.
async fn at_rate(system: &System<'_>, rate: f64, seconds: u64) -> Result<Vec<(Uuid, f64)>> {
    let in_call = (rate / 1000.0).ceil().max(1.0);
    let pace = Duration::from_secs_f64(in_call / rate);
    let body: Arc<str> = Value::from(vec![no_op(); in_call as usize])
        .to_string()
        .into();
    let calls = (seconds as f64 / pace.as_secs_f64()) as u32;
    let mut tick = tokio::time::interval(pace);
    let (began, first_tick) = (now_ms()?, tokio::time::Instant::now());
    let mut sending = JoinSet::new();
    for _ in 0..calls {
        let due = tick.tick().await;
        let called = began + (due - first_tick).as_secs_f64() * 1000.0;
        sending.spawn(send(system.api().clone(), body.clone(), called));
    }
    let mut calls = Vec::new();
    while let Some(sent) = sending.join_next().await {
        calls.extend(sent??);
    }
    system.until_drained().await?;
    Ok(calls)
}

async fn send(api: Api, body: Arc<str>, called: f64) -> Result<Vec<(Uuid, f64)>> {
    let answer: Answer = serde_json::from_slice(&api.submit_written(&body).await?)?;
    Ok(answer.tasks.iter().map(|task| (task.id, called)).collect())
}

/// What is read of the API's answer: under load, to read more would take from what is measured.
#[derive(Deserialize)]
struct Answer {
    tasks: Vec<Submitted>,
}

#[derive(Deserialize)]
struct Submitted {
    id: Uuid,
}
