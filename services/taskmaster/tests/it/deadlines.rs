//! Time limits that a worker does not enforce, although it is alive: the coordinator ends the run.
//!
//! The worker that hangs is a real one: its command ignores SIGTERM, and it is told to wait for an hour before SIGKILL.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskmaster_testkit::{Stack, eventually};

use crate::TASKMASTER;

const HANGS: [&str; 2] = ["--kill-grace", "3600"];

async fn until_gone(pid: &str) -> Result<()> {
    eventually(&format!("process {pid} is gone"), async || {
        Ok(if Path::new("/proc").join(pid).exists() {
            Err("it is there".to_owned())
        } else {
            Ok(())
        })
    })
    .await
}

fn outcomes(attempts: &[Value]) -> Vec<&str> {
    let outcomes = attempts.iter().map(|attempt| attempt["outcome"].as_str());
    outcomes.map(Option::unwrap_or_default).collect()
}

#[tokio::test]
async fn a_run_that_its_worker_does_not_end_is_ended_and_then_killed() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        stack.replace_coordinator(&["--overdue-grace", "1"]).await?;
        let worker = stack.worker("hangs", &HANGS).await?;
        let pids = stack.folder().join("pids");
        // The second attempt ends by itself.
        let command = format!(
            "test $TASKMASTER_ATTEMPT = 2 && exit; trap '' TERM; echo $$ >> {}; while :; do sleep 0.1; done",
            pids.display()
        );
        let task = |attempts| json!({"command": command, "timeout_seconds": 1, "max_attempts": attempts});
        let ids = stack.api().submit_all(&[task(1), task(2)]).await?;

        let once = stack.api().wait(&ids[0], "failed").await?;
        let told = once["error_message"].as_str().unwrap_or_default();
        assert!(told.contains("time limit of 1 s, and its worker did not stop it"), "{told}");
        assert_eq!(outcomes(&stack.api().attempts(&ids[0]).await?), ["timed_out"]);
        let twice = stack.api().wait(&ids[1], "completed").await?;
        assert_eq!(twice["attempt"], 2);
        let attempts = stack.api().attempts(&ids[1]).await?;
        assert_eq!(outcomes(&attempts), ["timed_out", "completed"]);

        // A heartbeat tells the worker that it does not hold them any more, and it does not wait for an hour now.
        let pids = std::fs::read_to_string(&pids)?;
        assert_eq!(pids.lines().count(), 2, "{pids}");
        for pid in pids.lines() {
            until_gone(pid).await?;
        }
        for id in &ids {
            worker.until_logged(&format!("lost its lease: stopped, result dropped task.id={id}")).await?;
        }
        let coordinator = stack.services.last().context("no coordinator")?.log();
        assert!(!coordinator.contains("its heartbeat stopped"), "{coordinator}");
        assert_eq!(stack.api().task(&ids[0]).await?, once);
        let after = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&after, "completed").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_such_a_worker_reports_late_is_refused() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        stack.replace_coordinator(&["--overdue-grace", "1"]).await?;
        // It beats so seldom that it reports before it hears that it does not hold the task any more.
        let beats = [
            "--heartbeat-interval",
            "1000",
            "--heartbeat-timeout",
            "3600",
        ];
        let worker = stack
            .worker("hangs", &[&HANGS[..], &beats].concat())
            .await?;
        let go = stack.folder().join("go");
        let command = format!(
            "trap '' TERM; until test -e {}; do sleep 0.05; done",
            go.display()
        );
        let task = json!({"command": command, "timeout_seconds": 1});
        let id = stack.api().submit(&task).await?;
        let ended = stack.api().wait(&id, "failed").await?;
        std::fs::write(&go, "")?;
        worker
            .until_logged(&format!("stale result, dropped task.id={id}"))
            .await?;
        assert_eq!(stack.api().task(&id).await?, ended);
        assert_eq!(stack.api().attempts(&id).await?.len(), 1);
        Ok(())
    })
    .await
}
