//! Real commands: `/bin/true`, against what the machine can fork, exec and wait for with nothing around it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use taskmaster_core::When;
use taskmaster_store::submit;
use taskmaster_testkit::sqlx;

use crate::Scale;
use crate::figures::{Report, median};
use crate::system::{System, USUAL_SLOTS};
use crate::tasks::stored_true;
use crate::throughput::WORKERS;

pub(crate) async fn measure(
    system: &mut System<'_>,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let _workers = system.workers(WORKERS, USUAL_SLOTS).await?;
    let (mut alone, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    run(system, scale.processes / 10).await?;
    for _ in 0..scale.runs {
        let bare = bare(scale.limit_seconds).await?;
        let rate = run(system, scale.processes).await?;
        ratios.push(rate / bare);
        alone.push(bare);
        ours.push(rate);
    }
    report.add("/bin/true: fork, exec and wait alone", "processes/s", alone);
    report.add("/bin/true: as tasks", "tasks/s", ours);
    report.add(
        "/bin/true: as tasks, against alone",
        "ratio",
        vec![median(&ratios)],
    );
    Ok(())
}

/// Processes per second, with a thread for each processor that starts one after the other and waits for it.
async fn bare(seconds: u64) -> Result<f64> {
    let threads = std::thread::available_parallelism()?.get();
    let began = Instant::now();
    let end = began + Duration::from_secs(seconds);
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..threads {
        running.spawn_blocking(move || {
            let mut count = 0;
            while Instant::now() < end {
                let status = Command::new("/bin/true")
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()?;
                ensure!(status.success(), "{status}");
                count += 1;
            }
            Ok(count)
        });
    }
    let mut count = 0;
    while let Some(more) = running.join_next().await {
        count += more??;
    }
    Ok(f64::from(count) / began.elapsed().as_secs_f64())
}

/// Tasks per second of `count` that fall due at one moment.
async fn run(system: &System<'_>, count: u32) -> Result<f64> {
    let due = system.now().await? + TimeDelta::milliseconds(1000 + i64::from(count) / 25);
    for batch in 0..count.div_ceil(1000) {
        let in_batch = (count - batch * 1000).min(1000);
        let tasks: Vec<_> = (0..in_batch).map(|_| stored_true(When::At(due))).collect();
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
