//! What a long history costs: lives, and what the dashboard asks for.

use std::time::Instant;

use anyhow::{Result, ensure};
use taskmaster_testkit::sqlx;

use crate::Scale;
use crate::figures::{Report, percentile};
use crate::history::{add_finished, add_future, settle};
use crate::limit::lives;
use crate::system::System;

const CALLS: usize = 300;

/// What is asked for, and how often that is found.
const QUESTIONS: &[&str] = &[
    "/api/stats",
    "/api/workers",
    "/api/v1/workers",
    "/api/tasks",
    "/api/tasks?status=completed",
    "/api/tasks?status=failed",
    "/api/tasks?status=cancelled",
    "/api/tasks?status=scheduled",
    "/api/tasks?status=running",
    "/api/tasks?worker=old-7",
    "/api/tasks?worker=old-7&status=failed",
    "/api/tasks?worker=limit-0",
    "/api/tasks?q=customer%204999",
    "/api/tasks?q=nowhere",
    "/api/tasks?q=nowhere&status=failed",
];

pub(crate) async fn measure(
    system: &mut System<'_>,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    // It would claim what is measured here.
    system.stack.services[0].kill().await?;
    lives(&system.pool, 2).await?;
    let mut empty = Vec::new();
    for _ in 0..scale.runs {
        empty.push(lives(&system.pool, scale.limit_seconds).await?);
    }
    add_future(&system.pool, scale.future).await?;
    let mut there = 0;
    let clean = crate::figures::median(&empty);
    report.add("size: lives, nothing finished", "tasks/s", empty);
    for finished in [scale.finished / 10, scale.finished] {
        add_finished(&system.pool, finished - there).await?;
        there = finished;
        settle(&system.pool).await?;
        lives(&system.pool, 2).await?;
        let mut runs = Vec::new();
        for _ in 0..scale.runs {
            runs.push(lives(&system.pool, scale.limit_seconds).await?);
        }
        let slower = clean / crate::figures::median(&runs);
        let million = finished as f64 / 1e6;
        report.add(
            format!("size: lives, {million} million finished"),
            "tasks/s",
            runs,
        );
        report.add(
            format!("size: empty against {million} million finished"),
            "ratio",
            vec![slower],
        );
    }
    let mut slowest = Vec::new();
    for question in QUESTIONS {
        let mut milliseconds = Vec::new();
        for _ in 0..CALLS {
            let began = Instant::now();
            let answer = system.api().text(question).await?;
            milliseconds.push(began.elapsed().as_secs_f64() * 1000.0);
            ensure!(!answer.is_empty(), "nothing");
        }
        let p99 = percentile(&milliseconds, 0.99);
        report.add(format!("size: {question}: p99"), "ms", vec![p99]);
        slowest.push(p99);
    }
    report.add(
        "size: the slowest answer: p99",
        "ms",
        vec![percentile(&slowest, 1.0)],
    );
    counts_are_exact(system).await?;
    // The last batches of lives, which nobody is left to claim.
    sqlx::raw_sql("delete from tasks where scheduled_at <= now()")
        .execute(&system.pool)
        .await?;
    Ok(())
}

async fn counts_are_exact(system: &System<'_>) -> Result<()> {
    let (_, stats) = system.api().get("/api/stats").await?;
    let count: i64 = sqlx::query_scalar("select count(*) from all_tasks")
        .fetch_one(&system.pool)
        .await?;
    ensure!(stats["total_tasks"] == count, "{stats}, but {count}");
    Ok(())
}
