//! An API that ends while workers drain: the next one knows who goes, tells nobody twice, and leaves alone what was started
//! since.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::engine::docker;
use crate::fleet::{scale, until_done, until_draining, until_ended, until_there, until_workers};
use crate::load::all_completed;
use crate::project::{Compose, Container, Project};

/// Each one fills a worker's slots for as long as it takes to end two APIs, and has one attempt.
async fn fill(project: &Project, workers: usize) -> Result<Vec<String>> {
    let task = json!({"command": "sleep 40", "max_attempts": 1});
    let ids = project.api().submit_all(&vec![task; 4 * workers]).await?;
    until_workers(project, "are full", workers, |worker| {
        worker["running"] == 4
    })
    .await?;
    Ok(ids)
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn what_drains_finishes_and_does_not_count_however_often_the_api_ends() -> Result<()> {
    let grace = [
        ("TASKMASTER_DRAIN_GRACE", "60"),
        ("WORKER_STOP_GRACE_PERIOD", "75s"),
    ];
    Project::run(Compose::V1, &grace, 4, async |project| {
        let ids = fill(project, 4).await?;
        scale(project, 2).await?;
        until_draining(project, 2).await?;
        let api = project.service("api").await?.remove(0);
        // It leaves its drains to the next one, which takes them over at once.
        docker(&["restart", &api.id]).await?;
        until_draining(project, 2).await?;
        // And that one to nobody, for a while.
        docker(&["kill", &api.id]).await?;
        docker(&["start", &api.id]).await?;
        until_draining(project, 2).await?;
        let answer = scale(project, 3).await?;
        ensure!(answer["draining"] == json!([]), "{answer}");
        let started = answer["started"].as_array().map(Vec::len);
        ensure!(started == Some(1), "{answer}");
        all_completed(project.api(), &ids).await?;
        until_there(project, 3).await?;
        project.until_online(3).await
    })
    .await
}

/// Which of the workers run, and since when.
async fn runs(workers: &[Container]) -> Result<String> {
    let format = "{{.Id}} {{.State.Status}} {{.State.StartedAt}}";
    let mut arguments = vec!["container", "inspect", "--format", format];
    arguments.extend(workers.iter().map(|worker| worker.id.as_str()));
    docker(&arguments).await
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn a_worker_that_compose_has_started_again_is_left_alone() -> Result<()> {
    Project::run(Compose::V1, &[], 3, async |project| {
        let task = json!({"command": "sleep 8", "max_attempts": 1});
        let ids = project.api().submit_all(&vec![task; 12]).await?;
        until_workers(project, "are full", 3, |worker| worker["running"] == 4).await?;
        scale(project, 1).await?;
        until_draining(project, 2).await?;
        let api = project.service("api").await?.remove(0);
        docker(&["stop", &api.id]).await?;
        // They stop by themselves, and nobody removes them.
        until_ended(project, 2).await?;
        let up = ["up", "-d", "--no-build", "--no-deps", "--scale", "worker=3"];
        project.compose(&[&up[..], &["worker"]].concat()).await?;
        let workers = project.service("worker").await?;
        let before = runs(&workers).await?;
        ensure!(before.matches(" running ").count() == 3, "{before}");
        docker(&["start", &api.id]).await?;
        until_workers(project, "wait", 3, |worker| worker["status"] == "idle").await?;
        until_done(project).await?;
        project.until_online(3).await?;
        ensure!(runs(&workers).await? == before, "{before}");
        all_completed(project.api(), &ids).await
    })
    .await
}
