//! How soon a task starts: from just before the submission's call, all on one clock.
//!
//! `started_at` is when the statement that starts a task begins, not when it is committed. A no-op that has been started
//! ends at once, so that the moment its finish begins, `finished_at`, is after the commit of its start: that is what is
//! measured, and so a little more than the start took.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
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
    let sustained = flow(system, scale.sustained_seconds.min(10)).await?;
    let (mut idle, mut ways) = (Runs::default(), Vec::new());
    let mut instructions = Runs::default();
    one_at_a_time(system, 50).await?;
    for _ in 0..scale.runs {
        let calls = calls_one_at_a_time(system, scale.latency).await?;
        idle.add(&since_calls(system, &calls).await?);
        ways.extend(ways_of(system, &calls).await?);
        instructions.add(&first_instructions(system, scale.latency / 3).await?);
    }
    idle.report("idle, call to committed start", report);
    instructions.report("idle, call to the process's first instruction", report);
    for (i, stretch) in STRETCHES.into_iter().enumerate() {
        let milliseconds: Vec<f64> = ways.iter().map(|way| way[i]).collect();
        report.add(
            format!("latency idle, of which {stretch}: p50"),
            "ms",
            vec![percentile(&milliseconds, 0.5)],
        );
    }
    for (name, rate) in [
        ("at 100/s, call to committed start", 100.0),
        ("at 1,000/s, call to committed start", 1000.0),
        (
            "at half the sustained rate, call to committed start",
            sustained / 2.0,
        ),
    ] {
        let mut paced = Runs::default();
        for _ in 0..scale.runs {
            paced.add(&at_rate(system, rate, scale.paced_seconds).await?);
        }
        paced.report(name, report);
    }
    Ok(())
}

/// The percentiles of each run.
#[derive(Default)]
struct Runs([Vec<f64>; PERCENTILES.len()]);

impl Runs {
    fn add(&mut self, milliseconds: &[f64]) {
        for (runs, (_, share)) in self.0.iter_mut().zip(PERCENTILES) {
            runs.push(percentile(milliseconds, share));
        }
    }

    fn report(self, name: &str, report: &mut Report) {
        for (runs, (percentile, _)) in self.0.into_iter().zip(PERCENTILES) {
            report.add(format!("latency {name}: {percentile}"), "ms", runs);
        }
    }
}

fn now_ms() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1000.0)
}

/// When each of these tasks had been started, in milliseconds.
async fn starts(system: &System<'_>, ids: &[Uuid]) -> Result<HashMap<Uuid, f64>> {
    let rows: Vec<(Uuid, f64)> = sqlx::query_as(
        "select id, (extract(epoch from finished_at) * 1000)::float8 from finished_tasks
         where id = any ($1) and status = 'completed'",
    )
    .bind(ids)
    .fetch_all(&system.pool)
    .await?;
    ensure!(
        rows.len() == ids.len(),
        "{} of {} completed",
        rows.len(),
        ids.len()
    );
    Ok(rows.into_iter().collect())
}

/// Where the time goes, each from the one before: statements' beginnings, as Postgres wrote them down.
const STRETCHES: [&str; 4] = [
    "from the call to the statement that takes it in",
    "from there to the one that claims it",
    "from there to the one that starts it",
    "from there to the one that ends it",
];

/// The stretches of each task's way, in milliseconds.
async fn ways_of(system: &System<'_>, calls: &[(Uuid, f64)]) -> Result<Vec<[f64; 4]>> {
    let ids: Vec<Uuid> = calls.iter().map(|(id, _)| *id).collect();
    let rows: Vec<(Uuid, Vec<f64>)> = sqlx::query_as(
        "select id, array(select (extract(epoch from at) * 1000)::float8
                          from unnest(array[created_at, picked_at, started_at, finished_at]) at)
         from finished_tasks where id = any ($1)",
    )
    .bind(&ids)
    .fetch_all(&system.pool)
    .await?;
    let called: HashMap<Uuid, f64> = calls.iter().copied().collect();
    let ways = rows.into_iter().map(|(id, moments)| {
        let mut before = called[&id];
        let mut way = [0.0; 4];
        for (stretch, moment) in way.iter_mut().zip(moments) {
            (*stretch, before) = (moment - before, moment);
        }
        way
    });
    Ok(ways.collect())
}

/// Each a moment after the one before has ended.
pub(crate) async fn one_at_a_time(system: &System<'_>, count: u32) -> Result<Vec<f64>> {
    let calls = calls_one_at_a_time(system, count).await?;
    since_calls(system, &calls).await
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

async fn since_calls(system: &System<'_>, calls: &[(Uuid, f64)]) -> Result<Vec<f64>> {
    let ids: Vec<Uuid> = calls.iter().map(|(id, _)| *id).collect();
    let starts = starts(system, &ids).await?;
    Ok(calls
        .iter()
        .map(|(id, called)| starts[id] - called)
        .collect())
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
async fn at_rate(system: &System<'_>, rate: f64, seconds: u64) -> Result<Vec<f64>> {
    let in_call = (rate / 1000.0).ceil().max(1.0);
    let pace = Duration::from_secs_f64(in_call / rate);
    let body: Value = vec![no_op(); in_call as usize].into();
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
    since_calls(system, &calls).await
}

async fn send(api: Api, body: Value, called: f64) -> Result<Vec<(Uuid, f64)>> {
    let ids = api.submit_all(body.as_array().context("no tasks")?).await?;
    let calls = ids.into_iter().map(|id| Ok((id.parse()?, called)));
    calls.collect()
}
