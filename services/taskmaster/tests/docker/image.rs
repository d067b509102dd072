//! Our image, as it comes out of the users' Dockerfile: small, for a user without rights, and with a check that tells.

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::engine::{client, docker, image};

/// What the image may take of a disk, in bytes.
const MOST: u64 = 120_000_000;

/// A container of our image. Removed when this is dropped.
struct Container(String);

impl Container {
    /// Starts one: `options` come before the image, `arguments` after it.
    async fn start(options: &[&str], arguments: &[&str]) -> Result<Self> {
        let image = image()?;
        let run = [&["run", "--detach"], options, &[&image], arguments].concat();
        Ok(Self(docker(&run).await?))
    }

    /// Waits until the engine says that it is `healthy` or `unhealthy`.
    async fn until(&self, health: &str) -> Result<()> {
        let filter = format!("container={}", self.0);
        let mut events = client(&[
            "events",
            "--since",
            "5m",
            "--filter",
            &filter,
            "--filter",
            "event=health_status",
        ])?
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
        let mut lines = BufReader::new(events.stdout.take().context("no events")?).lines();
        let format = "{{.State.Health.Status}}";
        while docker(&["inspect", "--format", format, &self.0]).await? != health {
            let line = tokio::time::timeout(std::time::Duration::from_secs(60), lines.next_line());
            line.await
                .with_context(|| format!("it does not become {health} within a minute"))??
                .context("the engine is gone")?;
        }
        Ok(())
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Ok(command) = client(&["rm", "--force", "--volumes", &self.0]) {
            command.into_std().output().ok();
        }
    }
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn it_is_small_and_its_user_has_no_rights() -> Result<()> {
    let inspection: Value = serde_json::from_str(&docker(&["inspect", &image()?]).await?)?;
    let size = inspection[0]["Size"].as_u64().context("no size")?;
    assert!(size < MOST, "{size} bytes");
    assert_eq!(inspection[0]["Config"]["User"], "10001:10001");
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn it_runs_without_rights_and_without_writing() -> Result<()> {
    let image = image()?;
    let strictly = [
        "run",
        "--rm",
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--network=none",
    ];
    let version = docker(&[&strictly[..], &[&image, "--version"]].concat()).await?;
    assert_eq!(version, concat!("taskmaster ", env!("CARGO_PKG_VERSION")));

    // Whoever could read the executables could read the passwords in the environment of what runs them.
    let script = "id -u; stat -c %a /usr/bin/tini /usr/local/bin/taskmaster; \
                  cat /usr/bin/tini /usr/local/bin/taskmaster >/dev/null 2>&1 || echo unreadable; \
                  touch /file 2>/dev/null || echo unwritable";
    let shell = [&strictly[..], &["--entrypoint=sh", &image, "-c", script]].concat();
    let said = docker(&shell).await?;
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        ["10001", "711", "711", "unreadable", "unwritable"]
    );
    Ok(())
}

/// Tini, which is the first process, has one child.
const TASKMASTER: &str = "$(cat /proc/1/task/1/children)";

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn its_check_tells_a_service_that_hangs_from_one_that_waits() -> Result<()> {
    let options = [
        "--read-only",
        "--tmpfs=/tmp",
        "--cap-drop=ALL",
        "--network=none",
        "--health-interval=1s",
        "--health-retries=2",
        "--env=DATABASE_URL=postgres://nobody@127.0.0.1:1/nowhere",
        "--env=AMQP_URL=amqp://127.0.0.1:1/",
    ];
    let coordinator = Container::start(&options, &["coordinator"]).await?;
    // There is no Postgres here: it waits for one, and is well.
    coordinator.until("healthy").await?;
    for (signal, health) in [("STOP", "unhealthy"), ("CONT", "healthy")] {
        let kill = format!("kill -{signal} {TASKMASTER}");
        docker(&["exec", &coordinator.0, "sh", "-c", &kill]).await?;
        coordinator.until(health).await?;
    }
    Ok(())
}
