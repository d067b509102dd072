//! Real commands: `/bin/true`, against what the machine can fork, exec and wait for with nothing around it.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::Scale;
use crate::figures::{Report, median};
use crate::system::{System, USUAL_SLOTS};
use crate::tasks::stored_true;
use crate::throughput::{WORKERS, drain_of};

pub(crate) async fn measure(
    system: &mut System<'_>,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let _workers = system.workers(WORKERS, USUAL_SLOTS).await?;
    let (mut alone, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    drain_of(system, scale.processes / 10, stored_true).await?;
    for _ in 0..scale.runs {
        let bare = bare(scale.limit_seconds).await?;
        let rate = drain_of(system, scale.processes, stored_true).await?;
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
