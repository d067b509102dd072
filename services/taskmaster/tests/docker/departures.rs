//! Which workers of a fleet of containers go, and what becomes of them and of what they run.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskmaster_testkit::eventually;

use crate::fleet::{scale, until_done, until_there};
use crate::load::all_completed;
use crate::project::{Compose, Container, Project};

/// Waits until so many of these tasks run; returns how many of them each worker, by its host, has.
async fn until_running(project: &Project, count: usize) -> Result<Value> {
    eventually(&format!("{count} tasks run"), async || {
        let (_, body) = project.api().get("/api/v1/workers").await?;
        let workers = body["workers"].as_array().context("no workers")?;
        let running = workers
            .iter()
            .filter_map(|worker| worker["running"].as_u64());
        Ok(if running.sum::<u64>() == count as u64 {
            Ok(body)
        } else {
            Err(body.to_string())
        })
    })
    .await
}

/// Of three workers one has something to do: that one stays, although the first one would among equals.
async fn idle_ones_go_first(project: &Project) -> Result<()> {
    let api = project.api();
    let last = project.service("worker").await?.remove(2);
    // All slots of all three, so that the last one has some.
    let task = json!({"command": "sleep 600", "max_attempts": 1});
    let ids = api.submit_all(&vec![task; 12]).await?;
    until_running(project, 12).await?;
    let mut long = None;
    for id in &ids {
        let task = api.task(id).await?;
        let is_its_own = task["assigned_worker_name"] == last.id[..12];
        if is_its_own && long.is_none() {
            long = Some(id);
        } else {
            let path = format!("/api/v1/tasks/{id}/cancel");
            let (status, answer) = api.post(&path, &Value::Null).await?;
            ensure!(status == 200, "{status}: {answer}");
        }
    }
    let long = long.context("the last worker runs nothing")?;
    until_running(project, 1).await?;
    scale(project, 1).await?;
    let left = until_there(project, 1).await?;
    ensure!(left[0].id == last.id, "{left:?}");
    ensure!(api.task(long).await?["status"] == "running");
    let path = format!("/api/v1/tasks/{long}/cancel");
    api.post(&path, &Value::Null).await?;
    api.wait(long, "cancelled").await?;
    until_done(project).await
}

/// Asked for twice, it still finishes what it runs, which may be started only once.
async fn a_drain_loses_nothing(project: &Project) -> Result<()> {
    let api = project.api();
    scale(project, 2).await?;
    project.until_online(2).await?;
    let task = json!({"command": "sleep 4", "max_attempts": 1});
    let ids = api.submit_all(&vec![task; 8]).await?;
    until_running(project, 8).await?;
    let mut workers = project.service("worker").await?;
    ensure!(workers.len() == 2, "{workers:?}");
    let goes = workers.remove(1);
    for _ in 0..2 {
        let path = format!("/api/v1/workers/{}/drain", &goes.id[..12]);
        let (status, answer) = api.post(&path, &Value::Null).await?;
        ensure!(status == 202, "{status}: {answer}");
        ensure!(answer["status"] == "draining", "{answer}");
    }
    let left = until_there(project, 1).await?;
    ensure!(left[0].id == workers[0].id, "{left:?}");
    all_completed(api, &ids).await?;
    let mut of_its = 0;
    for id in &ids {
        let task = api.task(id).await?;
        of_its += usize::from(task["assigned_worker_name"] == goes.id[..12]);
    }
    ensure!(of_its == 4, "{of_its} of its four tasks are still its own");
    until_done(project).await
}

async fn the_last_one_is_stopped_and_started_again(project: &Project) -> Result<()> {
    let worker = project.service("worker").await?.remove(0);
    let body = json!({"name": worker.name});
    let (status, answer) = project.api().post("/api/workers/kill", &body).await?;
    ensure!(status == 200, "{status}: {answer}");
    let has_stopped = |one: &Container| one.id == worker.id && one.state == "exited";
    project
        .until("it has stopped", |containers| {
            containers.iter().any(has_stopped)
        })
        .await?;
    // Until then it is one that goes, which is not started again.
    until_done(project).await?;
    let answer = scale(project, 1).await?;
    ensure!(answer["started"] == json!([worker.name]), "{answer}");
    let workers = project.service("worker").await?;
    ensure!(
        workers.len() == 1 && workers[0].id == worker.id && workers[0].state == "running",
        "not the same container: {workers:?}"
    );
    project.until_online(1).await
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn those_that_go_are_the_idle_ones_and_lose_nothing() -> Result<()> {
    Project::run(Compose::V1, &[], 3, async |project| {
        idle_ones_go_first(project).await?;
        a_drain_loses_nothing(project).await?;
        the_last_one_is_stopped_and_started_again(project).await
    })
    .await
}
