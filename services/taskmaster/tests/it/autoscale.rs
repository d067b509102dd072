//! The autoscaler on `taskmaster up`: grows with a burst, clears it, shrinks again, and leaves alone what was scaled by hand.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskmaster_testkit::{Api, Process, Stack, eventually};
use tokio::process::Command;

use crate::TASKMASTER;
use crate::up::{folder, up};

const MAX: i64 = 4;
const TASKS: usize = 2000;

async fn fleet(api: &Api) -> Result<Value> {
    let (status, fleet) = api.get("/api/v1/fleet").await?;
    ensure!(status == 200, "{fleet}");
    Ok(fleet)
}

/// Waits until there are to be so many workers; there are never to be more than `MAX`.
async fn until_desired(api: &Api, count: i64) -> Result<()> {
    eventually(&format!("there are to be {count} workers"), async || {
        let fleet = fleet(api).await?;
        let desired = fleet["desired"].as_i64().context("no size")?;
        ensure!(desired <= MAX, "{fleet}");
        Ok(if desired == count {
            Ok(())
        } else {
            Err(fleet.to_string())
        })
    })
    .await
}

async fn decisions(api: &Api) -> Result<Vec<Value>> {
    let (_, page) = api.get("/api/v1/fleet/decisions?limit=1000").await?;
    let mut decisions = page["decisions"]
        .as_array()
        .context("no decisions")?
        .clone();
    decisions.reverse();
    Ok(decisions)
}

#[tokio::test]
async fn a_burst_makes_it_grow_and_its_end_makes_it_shrink() -> Result<()> {
    let folder = folder()?;
    let options = [
        "--workers",
        "1",
        "--slots",
        "20",
        "--autoscale-interval",
        "1",
    ];
    let up = up(folder.path(), &options).await?;
    let api = up.api();
    let settings = json!({
        "enabled": true, "min": 1, "max": MAX, "target_seconds": 10, "scale_up_cooldown_seconds": 2,
        "scale_down_cooldown_seconds": 10, "max_step_up": 2, "max_step_down": 3,
    });
    let (status, answer) = api
        .put("/api/v1/fleet", &json!({"autoscaler": settings}))
        .await?;
    ensure!(status == 200, "{answer}");

    for _ in 0..TASKS / 1000 {
        api.submit_all(&vec![json!({"command": "sleep 1"}); 1000])
            .await?;
    }
    until_desired(api, MAX).await?;
    let (_, forecast) = api.get("/api/v1/fleet/forecast?workers=50").await?;
    let clears = |workers: usize| forecast["forecasts"][workers - 1]["clears_in_seconds"].as_f64();
    ensure!(
        clears(50) < clears(20) || clears(20).is_none(),
        "{forecast}"
    );
    eventually("all of it is done", async || {
        let (_, stats) = api.get("/api/stats").await?;
        let desired = fleet(api).await?["desired"].as_i64();
        ensure!(desired <= Some(MAX), "{desired:?}");
        Ok(if stats["completed_tasks"] == TASKS {
            Ok(())
        } else {
            Err(stats.to_string())
        })
    })
    .await?;
    until_desired(api, 1).await?;

    // A decision is recorded when it is carried out, a moment after the fleet shows it.
    let applied = eventually("its last decision is recorded", async || {
        let applied: Vec<Value> = decisions(api)
            .await?
            .into_iter()
            .filter(|decision| decision["applied"] == true)
            .collect();
        let is_last = applied.last().is_some_and(|last| last["to"] == 1);
        Ok(is_last
            .then(|| applied.clone())
            .ok_or(format!("{applied:#?}")))
    })
    .await?;
    let sizes: Vec<i64> = applied.iter().filter_map(|it| it["to"].as_i64()).collect();
    let peak = sizes
        .iter()
        .position(|size| *size == MAX)
        .context("it never grew")?;
    ensure!(sizes[..=peak].is_sorted(), "{applied:#?}");
    ensure!(
        sizes[peak..].is_sorted_by(|sooner, later| sooner >= later),
        "{applied:#?}"
    );
    for decision in &applied {
        let reason = decision["reason"].as_str().context("no reason")?;
        let kind = if decision["to"].as_i64() > decision["from"].as_i64() {
            "grow"
        } else {
            "shrink"
        };
        ensure!(decision["kind"] == kind && !reason.is_empty(), "{decision}");
    }
    // Through the same door as people do, and written down there.
    let (_, audit) = api.get("/api/v1/audit?limit=200").await?;
    let entries = audit["entries"].as_array().context("no entries")?.iter();
    let entries: Vec<&Value> = entries
        .filter(|entry| entry["action"] == "fleet.autoscale")
        .collect();
    assert_eq!(entries.len(), applied.len(), "{audit}");
    for entry in entries {
        ensure!(entry["caller"] == "autoscaler", "{entry}");
        ensure!(entry["reason"].is_string(), "{entry}");
    }
    let (mut seen, mut cursor) = (0, String::new());
    loop {
        let (_, page) = api
            .get(&format!("/api/v1/tasks?limit=1000&cursor={cursor}"))
            .await?;
        for task in page["tasks"].as_array().context("no tasks")? {
            ensure!(task["attempt"] == 1, "scaling cost an attempt: {task}");
            seen += 1;
        }
        match page["next_cursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(seen, TASKS);

    // The same to whoever asks on the command line.
    let shown = Command::new(TASKMASTER)
        .args(["autoscale", "--api", api.base()])
        .output()
        .await?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for text in [
        "autoscaler  on",
        "1, from 1 to 4",
        "Nothing waits.",
        "→ 4",
        "no more were needed",
    ] {
        ensure!(shown.contains(text), "no {text:?} in {shown}");
    }
    up.interrupt().await?;
    Ok(())
}

#[tokio::test]
async fn what_was_scaled_by_hand_stays_until_it_is_released() -> Result<()> {
    let folder = folder()?;
    let up = up(
        folder.path(),
        &["--workers", "1", "--autoscale-interval", "1"],
    )
    .await?;
    let api = up.api();
    let autoscale = async |arguments: &[&str]| -> Result<Value> {
        let base = ["autoscale", "--json", "--api", api.base()];
        let output = Command::new(TASKMASTER)
            .args(base)
            .args(arguments)
            .output()
            .await?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    autoscale(&["--dry-run", "--min", "2", "--down-cooldown", "0"]).await?;
    eventually("it would grow", async || {
        let decisions = decisions(api).await?;
        let last = decisions.last().cloned().unwrap_or_default();
        let would =
            last["kind"] == "below_min" && last["dry_run"] == true && last["applied"] == false;
        Ok(if would { Ok(()) } else { Err(last.to_string()) })
    })
    .await?;
    assert_eq!(fleet(api).await?["desired"], 1, "a dry run changes nothing");

    autoscale(&["--enable"]).await?;
    until_desired(api, 2).await?;
    let (status, scaled) = api.post("/api/workers/scale", &json!({"count": 3})).await?;
    ensure!(status == 200, "{scaled}");
    eventually("it says that it is pinned", async || {
        let last = decisions(api).await?.last().cloned().unwrap_or_default();
        Ok(if last["kind"] == "pinned" {
            Ok(())
        } else {
            Err(last.to_string())
        })
    })
    .await?;
    assert_eq!(fleet(api).await?["desired"], 3);
    let released = autoscale(&["--release"]).await?;
    assert_eq!(released["autoscaler"]["pinned"], false);
    until_desired(api, 2).await?;
    up.interrupt().await?;
    Ok(())
}

#[tokio::test]
async fn what_is_set_while_the_engine_is_away_is_no_failure() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        // Nobody listens on port 1.
        let command = stack.command(&[
            "api",
            "--listen",
            "127.0.0.1:0",
            "--fleet",
            "docker",
            "--docker-host",
            "tcp://127.0.0.1:1",
            "--compose-project",
            "a-project",
        ]);
        let mut process = Process::spawn(command, &stack.folder().join("api-away.log"))?;
        let address = eventually("the API listens", async || {
            let log = process.log();
            ensure!(process.is_running()?, "{log}");
            let address = log.split("address=").nth(1);
            let address = address.and_then(|rest| rest.split_whitespace().next());
            Ok(address.map(str::to_owned).ok_or(log.clone()))
        })
        .await?;
        let api = format!("http://{address}");
        let shown = stack
            .command(&["autoscale", "--enable", "--max", "7", "--api", &api])
            .output()
            .await?;
        let said = String::from_utf8_lossy(&shown.stderr).into_owned();
        ensure!(shown.status.success(), "{said}");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        for text in [
            "autoscaler  on",
            "workers     the Docker engine does not answer",
        ] {
            ensure!(shown.contains(text), "no {text:?} in {shown}");
        }
        let fleet = fleet(stack.api()).await?;
        let set = &fleet["autoscaler"];
        assert_eq!((&set["enabled"], &set["max"]), (&json!(true), &json!(7)));
        Ok(())
    })
    .await
}
