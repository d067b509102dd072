//! How many threads there are, whatever the machine: a container's limit of processes counts them.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command};

use anyhow::{Context, Result};
use taskmaster_testkit::eventually;

use crate::TASKMASTER;

/// Killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// As on a machine with so many processors, if that were what decides.
fn on_a_large_machine(arguments: &[&str]) -> Command {
    let mut command = Command::new(TASKMASTER);
    command.args(arguments).env("TOKIO_WORKER_THREADS", "64");
    command
}

fn threads(process: &Child) -> Result<u32> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id()))?;
    let mut lines = status.lines();
    let threads = lines.find_map(|line| line.strip_prefix("Threads:"));
    Ok(threads.context("no number of threads")?.trim().parse()?)
}

#[tokio::test]
async fn a_service_has_few_on_a_large_machine() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let alive = folder.path().join("alive");
    let arguments = [
        "docker-proxy",
        "--listen=127.0.0.1:0",
        "--compose-project=tm",
        "--docker-host=tcp://127.0.0.1:1",
    ];
    let mut command = on_a_large_machine(&arguments);
    let service = Running(command.env("TASKMASTER_ALIVE_FILE", &alive).spawn()?);
    eventually("it lives", async || {
        Ok(if alive.exists() {
            Ok(())
        } else {
            Err("not yet".to_owned())
        })
    })
    .await?;
    let threads = threads(&service.0)?;
    assert!((2..=12).contains(&threads), "{threads}");
    Ok(())
}

#[test]
fn a_health_check_has_one() -> Result<()> {
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/healthz", silent.local_addr()?);
    let mut command = on_a_large_machine(&["healthcheck", "--url", &url]);
    let check = Running(command.spawn()?);
    let _asked = silent.accept()?;
    assert_eq!(threads(&check.0)?, 1);
    Ok(())
}
