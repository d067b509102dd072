//! A rolling restart under load: every worker is drained and started again while tasks keep coming, and no attempt is lost.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use taskmaster_testkit::{Process, Stack, eventually, sqlx};

use crate::TASKMASTER;

/// As many as all workers together run at once, and some more: the next tasks wait whenever one ends.
const BATCH: usize = 16;
/// How many tasks there are at least.
const LEAST: usize = 320;
/// A machine that is busy with other tests must not make a worker look lost.
const OPTIONS: [&str; 4] = ["--slots", "4", "--heartbeat-timeout", "60"];

/// How a worker is asked to drain.
#[derive(Clone, Copy)]
enum Asked {
    Signal,
    Api,
}

/// A command of 50 to 200 ms that writes down each of its runs. Every second one may start only once.
fn task(number: usize, ledger: &Path) -> Value {
    let milliseconds = 50 + number * 37 % 151;
    let command = format!(
        "echo $TASKMASTER_TASK_ID >> {}; sleep 0.{milliseconds:03}",
        ledger.display()
    );
    json!({"command": command, "max_attempts": if number.is_multiple_of(2) { 1 } else { 3 }})
}

/// Submits batch after batch until `over`, each when the last but one is through. Returns the ids.
async fn load(stack: &Stack, ledger: &Path, over: &AtomicBool) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    while ids.len() < LEAST || !over.load(Ordering::Relaxed) {
        let batch: Vec<Value> = (ids.len()..ids.len() + BATCH)
            .map(|number| task(number, ledger))
            .collect();
        ids.extend(stack.api().submit_all(&batch).await?);
        if let Some(earlier) = ids.len().checked_sub(2 * BATCH + 1) {
            stack.api().wait(&ids[earlier], "completed").await?;
        }
    }
    Ok(ids)
}

/// Waits until this worker runs something.
async fn works(stack: &Stack, name: &str) -> Result<()> {
    eventually(&format!("{name} runs tasks"), async || {
        let workers = stack.workers().await?;
        let works = |worker: &&Value| {
            worker["name"] == name && worker["status"] == "busy" && worker["running"] != 0
        };
        let found = workers.iter().find(works);
        Ok(found.map(drop).ok_or_else(|| format!("{workers:?}")))
    })
    .await
}

/// Drains one worker while it works, waits for its end, and starts it again under its name, until it works again.
async fn restart(stack: &Stack, worker: &mut Process, name: &str, asked: Asked) -> Result<()> {
    works(stack, name).await?;
    match asked {
        Asked::Signal => worker.signal(Signal::TERM)?,
        Asked::Api => {
            let path = format!("/api/v1/workers/{name}/drain");
            let (status, answer) = stack.api().post(&path, &Value::Null).await?;
            ensure!(status == 202, "{answer}");
        }
    }
    let status = worker.wait().await?;
    ensure!(status.success(), "{name}: {status}\n{}", worker.log());
    *worker = stack.worker(name, &OPTIONS).await?;
    works(stack, name).await
}

#[tokio::test]
async fn a_rolling_restart_of_all_workers_under_load_loses_no_attempt() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let stack = &*stack;
        let ledger = stack.folder().join("ledger");
        let names = ["worker-1", "worker-2", "worker-3"];
        let mut workers = Vec::new();
        for name in names {
            workers.push(stack.worker(name, &OPTIONS).await?);
        }
        let over = AtomicBool::new(false);
        let restarts = async {
            for (i, asked) in [Asked::Signal, Asked::Api, Asked::Signal]
                .into_iter()
                .enumerate()
            {
                restart(stack, &mut workers[i], names[i], asked).await?;
            }
            over.store(true, Ordering::Relaxed);
            anyhow::Ok(())
        };
        let (mut ids, ()) = tokio::try_join!(load(stack, &ledger, &over), restarts)?;
        eventually("everything has ended", async || {
            let live: i64 = sqlx::query_scalar("select count(*) from tasks")
                .fetch_one(stack.pool())
                .await?;
            Ok(if live == 0 {
                Ok(())
            } else {
                Err(live.to_string())
            })
        })
        .await?;

        let rows: Vec<(String, String, i32)> =
            sqlx::query_as("select id::text, status, attempt from finished_tasks")
                .fetch_all(stack.pool())
                .await?;
        let spent: Vec<_> = rows
            .iter()
            .filter(|(_, status, attempt)| (status.as_str(), *attempt) != ("completed", 1))
            .collect();
        assert!(spent.is_empty(), "{spent:?}");
        assert_eq!(rows.len(), ids.len());
        let superseded: i64 = sqlx::query_scalar("select count(*) from attempts")
            .fetch_one(stack.pool())
            .await?;
        assert_eq!(superseded, 0);

        let ran = std::fs::read_to_string(&ledger)?;
        let mut ran: Vec<&str> = ran.lines().collect();
        ran.sort_unstable();
        ids.sort_unstable();
        assert_eq!(ran, ids, "each ran once");
        Ok(())
    })
    .await
}
