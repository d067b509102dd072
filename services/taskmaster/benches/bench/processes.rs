//! Real commands: `/bin/true`, against what the machine can fork, exec and wait for with nothing around it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::Scale;
use crate::figures::Report;
use crate::system::{MORE_SLOTS, System, USUAL_SLOTS, stop};
use crate::tasks::stored_true;
use crate::throughput::{WORKERS, drain_of};

pub(crate) async fn measure(
    system: &mut System<'_>,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    // Once without being counted.
    bare(1).await?;
    let (mut alone, mut measured) = (Vec::new(), Vec::new());
    for (name, options) in [("4 slots", USUAL_SLOTS), ("64 slots", MORE_SLOTS)] {
        let workers = system.workers(WORKERS, options).await?;
        drain_of(system, scale.processes / 10, stored_true).await?;
        let (mut ours, mut ratios) = (Vec::new(), Vec::new());
        for _ in 0..scale.runs {
            // Beside it, so that whatever drifts meets both.
            let bare = bare(scale.limit_seconds).await?;
            let rate = drain_of(system, scale.processes, stored_true).await?;
            ratios.push(rate / bare);
            alone.push(bare);
            ours.push(rate);
        }
        measured.push((name, ours, ratios));
        stop(workers).await?;
    }
    report.add("/bin/true: fork, exec and wait alone", "processes/s", alone);
    for (name, ours, ratios) in measured {
        report.add(format!("/bin/true: as tasks, {name}"), "tasks/s", ours);
        report.add(
            format!("/bin/true: as tasks, {name}, against alone"),
            "ratio",
            ratios,
        );
    }
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
