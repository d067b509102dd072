//! `taskmaster up --simulate`: the times of the original description.

use anyhow::Result;
use serde_json::json;

use crate::up::{folder, up};

#[tokio::test]
async fn simulated_tasks_take_the_original_two_and_five_seconds() -> Result<()> {
    let folder = folder()?;
    let up = up(folder.path(), &["--workers", "1", "--simulate"]).await?;
    let id = up
        .api()
        .submit(&json!({"command": "process-data --input file.csv"}))
        .await?;
    up.api().wait(&id, "assigned").await?;
    up.api().wait(&id, "running").await?;
    up.api().wait(&id, "completed").await?;
    let seconds: (f64, f64) = {
        let (_, task) = up.api().get(&format!("/api/status?task_id={id}")).await?;
        let at = |name: &str| seconds_of_day(task[name].as_str().unwrap_or_default());
        // It may be midnight between the two.
        let between = |from, to| (at(to) - at(from)).rem_euclid(86_400.0);
        (
            between("picked_at", "started_at"),
            between("started_at", "completed_at"),
        )
    };
    assert!(
        (2.0..2.9).contains(&seconds.0) && (5.0..5.9).contains(&seconds.1),
        "{seconds:?}"
    );
    up.interrupt().await?;
    Ok(())
}

/// Of a time as the API writes it.
fn seconds_of_day(time: &str) -> f64 {
    let clock = time.split(['T', 'Z']).nth(1).unwrap_or_default();
    clock.split(':').fold(0.0, |seconds, part| {
        seconds * 60.0 + part.parse::<f64>().unwrap_or(f64::NAN)
    })
}
