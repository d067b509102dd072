//! Tasks that keep coming while something else happens.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use taskmaster_testkit::{Api, eventually};

/// More than the workers run at once, so that tasks wait whenever one ends.
const BATCH: usize = 24;

/// A command of 50 to 200 ms that may be started only once: an attempt that is lost is a task that failed.
fn task(number: usize) -> Value {
    let milliseconds = 50 + number * 37 % 151;
    json!({"command": format!("echo {number}; sleep 0.{milliseconds:03}"), "max_attempts": 1})
}

/// Submits batch after batch while `change` goes on, each when the last but one is through, and sees to it that all of them
/// were run and completed at their only attempt.
///
/// # Errors
/// When the change fails, a submission is refused, or a task did not complete.
pub(crate) async fn during<T>(api: &Api, change: impl Future<Output = Result<T>>) -> Result<T> {
    let over = AtomicBool::new(false);
    let load = async {
        let mut ids = Vec::new();
        while ids.is_empty() || !over.load(Ordering::Relaxed) {
            let batch: Vec<Value> = (ids.len()..ids.len() + BATCH).map(task).collect();
            ids.extend(api.submit_all(&batch).await?);
            if let Some(earlier) = ids.len().checked_sub(2 * BATCH + 1) {
                api.wait(&ids[earlier], "completed").await?;
            }
        }
        anyhow::Ok(ids)
    };
    let change = async {
        let changed = change.await;
        over.store(true, Ordering::Relaxed);
        changed
    };
    let (ids, changed) = tokio::try_join!(load, change)?;
    all_completed(api, &ids).await?;
    for (number, id) in ids.iter().enumerate() {
        let output = api.output(id).await?;
        ensure!(output == format!("{number}\n"), "task {number}: {output:?}");
    }
    Ok(changed)
}

/// Waits until all of these have ended, and sees to it that they completed at their first attempt.
///
/// # Errors
/// When one has not.
pub(crate) async fn all_completed(api: &Api, ids: &[String]) -> Result<()> {
    for id in ids {
        let task = eventually("the task has ended", async || {
            let task = api.task(id).await?;
            let ended = task["status"] == "completed" || task["status"] == "failed";
            Ok(if ended {
                Ok(task)
            } else {
                Err(task.to_string())
            })
        })
        .await?;
        ensure!(task["status"] == "completed", "{task}");
    }
    Ok(())
}
