//! The autoscaler on containers: it grows with a burst, clears it and shrinks again, and does not flap with waves.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use taskmaster_testkit::{Api, eventually};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::interval;

use crate::engine::client;
use crate::fleet::until_there;
use crate::project::{Compose, Project};

const MAX: usize = 4;
const BURST: usize = 2_000;
/// Of waves: how many, how many seconds from one to the next, for how many of them tasks come, how many in each.
const WAVES: usize = 3;
const PERIOD: usize = 15;
const HIGH: usize = 5;
const PER_SECOND: usize = 120;

/// Counts the containers of workers, which are never to be more than `MAX`, each time one is made or removed. Never ends.
async fn never_more(project: &Project) -> Result<()> {
    let label = format!("label=com.docker.compose.project={}", project.name());
    let filters = [
        "--filter",
        &label,
        "--filter",
        "label=com.docker.compose.service=worker",
        "--filter",
        "event=create",
        "--filter",
        "event=destroy",
    ];
    let mut events = client(&["events", "--format", "{{.Action}}"])?
        .args(filters)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(events.stdout.take().context("no events")?).lines();
    let mut count = project.service("worker").await?.len();
    while let Some(action) = lines.next_line().await? {
        if action == "create" {
            count += 1;
        } else {
            count -= 1;
        }
        ensure!(count <= MAX, "there are {count} workers");
    }
    bail!("the engine is gone")
}

async fn set(api: &Api, settings: Value) -> Result<()> {
    let body = json!({"autoscaler": settings});
    let (status, answer) = api.put("/api/v1/fleet", &body).await?;
    ensure!(status == 200, "{status}: {answer}");
    Ok(())
}

/// Waits until all that was submitted is done.
async fn until_clear(api: &Api) -> Result<()> {
    eventually("all of it is done", async || {
        let (_, stats) = api.get("/api/stats").await?;
        Ok(if stats["completed_tasks"] == stats["total_tasks"] {
            Ok(())
        } else {
            Err(stats.to_string())
        })
    })
    .await
}

fn time(value: &Value) -> Result<DateTime<Utc>> {
    Ok(value.as_str().context("no time")?.parse()?)
}

/// A decision that changed the fleet.
#[derive(Debug)]
struct Change {
    at: DateTime<Utc>,
    from: u64,
    to: u64,
}

/// Those since then, the first one first, each of which says why.
async fn changes(api: &Api, since: DateTime<Utc>) -> Result<Vec<Change>> {
    let (_, page) = api.get("/api/v1/fleet/decisions?limit=1000").await?;
    let decisions = page["decisions"].as_array().context("no decisions")?;
    let mut changes = Vec::new();
    for decision in decisions.iter().rev() {
        if decision["applied"] != true {
            continue;
        }
        let reason = decision["reason"].as_str().unwrap_or_default();
        let change = Change {
            at: time(&decision["at"])?,
            from: decision["from"].as_u64().context("no size")?,
            to: decision["to"].as_u64().context("no size")?,
        };
        let kind = if change.to > change.from {
            "grow"
        } else {
            "shrink"
        };
        ensure!(decision["kind"] == kind && !reason.is_empty(), "{decision}");
        if change.at > since {
            changes.push(change);
        }
    }
    Ok(changes)
}

async fn a_burst_makes_it_grow_and_its_end_makes_it_shrink(project: &Project) -> Result<()> {
    let api = project.api();
    for _ in 0..BURST / 1_000 {
        let task = json!({"command": "sleep 1", "max_attempts": 1});
        api.submit_all(&vec![task; 1_000]).await?;
    }
    until_there(project, MAX).await?;
    until_clear(api).await?;
    until_there(project, 1).await?;

    let changes = changes(api, DateTime::UNIX_EPOCH).await?;
    let sizes: Vec<u64> = changes.iter().map(|change| change.to).collect();
    let peak = sizes.iter().position(|size| *size == MAX as u64);
    let peak = peak.context("it never decided to grow that far")?;
    ensure!(sizes[..=peak].is_sorted(), "{changes:#?}");
    ensure!(
        sizes[peak..].is_sorted_by(|sooner, later| sooner >= later),
        "{changes:#?}"
    );
    Ok(())
}

async fn waves_do_not_make_it_flap(project: &Project) -> Result<()> {
    let api = project.api();
    let mut begun_at = None;
    let mut tick = interval(Duration::from_secs(1));
    for second in 0..WAVES * PERIOD {
        tick.tick().await;
        if second % PERIOD < HIGH {
            let task = json!({"command": "sleep 1", "max_attempts": 1});
            let ids = api.submit_all(&vec![task; PER_SECOND]).await?;
            if begun_at.is_none() {
                begun_at = Some(time(&api.task(&ids[0]).await?["created_at"])?);
            }
        }
    }
    until_clear(api).await?;

    let begun_at = begun_at.context("no wave")?;
    let changes = changes(api, begun_at).await?;
    ensure!(!changes.is_empty(), "the waves were not noticed");
    let period = TimeDelta::seconds(i64::try_from(PERIOD)?);
    let mut wave_begins_at = begun_at;
    for wave in 0..WAVES {
        let wave_ends_at = wave_begins_at + period;
        let within = |change: &&Change| wave_begins_at < change.at && change.at <= wave_ends_at;
        let mut directions: Vec<bool> = changes
            .iter()
            .filter(within)
            .map(|change| change.to > change.from)
            .collect();
        directions.dedup();
        // What the last one has left over may go, or this one may need more: once each.
        ensure!(directions.len() <= 2, "wave {wave}: {changes:#?}");
        wave_begins_at = wave_ends_at;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn the_autoscaler_follows_a_burst_and_not_each_wave() -> Result<()> {
    Project::run(Compose::V1, &[("TASKMASTER_SLOTS", "20")], 1, async |project| {
        let tested = async {
            let settings = json!({
                "enabled": true, "min": 1, "max": MAX, "target_seconds": 10, "scale_up_cooldown_seconds": 2,
                "scale_down_cooldown_seconds": 10, "max_step_up": 2, "max_step_down": 3,
            });
            set(project.api(), settings).await?;
            a_burst_makes_it_grow_and_its_end_makes_it_shrink(project).await?;
            // Longer than from wave to wave.
            set(project.api(), json!({"scale_down_cooldown_seconds": 20})).await?;
            waves_do_not_make_it_flap(project).await
        };
        tokio::select! {
            counted = never_more(project) => counted,
            tested = tested => tested,
        }
    })
    .await
}
