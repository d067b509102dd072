//! How soon a task starts on an idle system: `cargo xtask bench`.
//!
//! `taskmaster up` as users run it (fsync on, nothing tuned), one task at a time over one HTTP connection, each after
//! the one before has ended. Two figures for each: the call, from its first byte to its answer, by this program's
//! clock; and the start, from the task's `created_at` to its `started_at`, both by Postgres's clock. The answer is sent
//! after `created_at`, so the time from the answer to the start is less than the second figure.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::DateTime;
use rustix::process::Signal;
use serde_json::{Value, json};
use taskmaster_testkit::{Api, Process, eventually};
use tokio::process::Command;

const WARM_UP: usize = 50;
const TASKS: usize = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = tempfile::Builder::new()
        .permissions(open_to_all())
        .tempdir()?;
    let (mut up, api) = start(folder.path()).await?;
    println!("{TASKS} tasks, one at a time, on `taskmaster up --workers 4`; milliseconds");
    println!();
    println!("| task | figure | p50 | p95 | p99 | max |");
    println!("|---|---|---|---|---|---|");
    for (name, task) in [
        (
            "simulated, 0 ms",
            json!({"command": "no-op", "executor": "simulate", "simulate": {"wait_ms": 0, "run_ms": 0}}),
        ),
        ("/bin/true as a process", json!({"argv": ["/bin/true"]})),
    ] {
        let (calls, starts) = measure(&api, &task).await?;
        for (figure, milliseconds) in [
            ("call, to its answer", calls),
            ("start, from the commit", starts),
        ] {
            let [p50, p95, p99, max] = percentiles(milliseconds);
            println!("| {name} | {figure} | {p50:.1} | {p95:.1} | {p99:.1} | {max:.1} |");
        }
    }
    up.signal(Signal::INT)?;
    ensure!(up.wait().await?.success(), "{}", up.log());
    Ok(())
}

async fn start(folder: &Path) -> Result<(Process, Api)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskmaster"));
    command
        .args([
            "up",
            "--workers",
            "4",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(folder.join("data"));
    command.env_remove("DATABASE_URL").env_remove("AMQP_URL");
    let mut up = Process::spawn(command, &folder.join("up.log"))?;
    let address = eventually("taskmaster up is ready", async || {
        let log = up.log();
        ensure!(up.is_running()?, "{log}");
        let address = log.lines().find_map(|line| {
            line.strip_prefix("TaskMaster is ready: ")
                .map(str::to_owned)
        });
        Ok(address.ok_or(log))
    })
    .await?;
    let api = Api::new(address)?;
    Ok((up, api))
}

async fn measure(api: &Api, task: &Value) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut calls, mut starts) = (Vec::new(), Vec::new());
    for i in 0..WARM_UP + TASKS {
        let sent = Instant::now();
        let id = api.submit(task).await?;
        let call = sent.elapsed();
        let task = api.wait(&id, "completed").await?;
        if i >= WARM_UP {
            calls.push(call.as_secs_f64() * 1000.0);
            starts.push(between(&task, "created_at", "started_at")?.as_secs_f64() * 1000.0);
        }
    }
    Ok((calls, starts))
}

fn between(task: &Value, from: &str, to: &str) -> Result<Duration> {
    let moment = |name: &str| -> Result<DateTime<_>> {
        Ok(DateTime::parse_from_rfc3339(
            task[name].as_str().context("no such time")?,
        )?)
    };
    Ok((moment(to)? - moment(from)?).to_std()?)
}

fn percentiles(mut values: Vec<f64>) -> [f64; 4] {
    values.sort_by(f64::total_cmp);
    [50, 95, 99, 100].map(|percent| values[(values.len() * percent / 100).min(values.len() - 1)])
}

fn open_to_all() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}
