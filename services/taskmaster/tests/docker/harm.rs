//! Containers that are killed while tasks run: nothing that was accepted is lost.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskmaster_testkit::eventually;

use crate::engine::docker;
use crate::fleet::{scale, until_draining, until_ended, until_workers};
use crate::load::all_completed;
use crate::project::{Compose, Container, Project};

/// How many tasks wait when a container is killed, at least: more than is done until the next one is.
const AHEAD: usize = 300;
/// More than one, as each kill of a worker spends an attempt of what it runs.
const ATTEMPTS: u32 = 10;

/// Kills a container as `docker kill` does, and starts it again: the engine takes that for meant.
async fn kill_and_start(container: &Container) -> Result<()> {
    docker(&["kill", &container.id]).await?;
    docker(&["start", &container.id]).await?;
    Ok(())
}

async fn stats(project: &Project) -> Result<Value> {
    let (status, stats) = project.api().get("/api/stats").await?;
    ensure!(status == 200, "{stats}");
    Ok(stats)
}

async fn completed(project: &Project) -> Result<usize> {
    let completed = stats(project).await?["completed_tasks"].as_u64();
    Ok(usize::try_from(completed.context("no count")?)?)
}

/// Submits as many as are missing.
async fn top_up(project: &Project, ids: &mut Vec<String>) -> Result<()> {
    let done = completed(project).await?;
    let tasks: Vec<Value> = (ids.len()..done + AHEAD)
        .map(|number| json!({"command": format!("echo {number}; sleep 0.5"), "max_attempts": ATTEMPTS}))
        .collect();
    if !tasks.is_empty() {
        ids.extend(project.api().submit_all(&tasks).await?);
    }
    Ok(())
}

/// Waits until something new goes all the way, past what waits: everything works again. Returns its id.
async fn works_again(project: &Project, after: &str) -> Result<String> {
    let api = project.api();
    let task = json!({"command": "true", "priority": 100, "max_attempts": ATTEMPTS});
    let id = eventually(&format!("a task is accepted after {after}"), async || {
        // While Postgres is away the API says so. It may have taken one in of which it could not tell.
        let submitted = api.submit(&task).await;
        Ok(submitted.map_err(|error| format!("{error:#}")))
    })
    .await?;
    eventually(&format!("a task completes after {after}"), async || {
        Ok(match api.task(&id).await {
            Ok(task) if task["status"] == "completed" => Ok(()),
            Ok(task) => Err(task.to_string()),
            Err(error) => Err(format!("{error:#}")),
        })
    })
    .await?;
    Ok(id)
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn nothing_is_lost_when_containers_are_killed() -> Result<()> {
    Project::run(Compose::V1, &[], 3, async |project| {
        let mut ids = Vec::new();
        let mut harmed = project.service("worker").await?;
        harmed.extend(project.service("coordinator").await?);
        harmed.extend(project.service("rabbitmq").await?);
        harmed.extend(project.service("postgres").await?);
        ensure!(harmed.len() == 7, "{harmed:?}");
        for container in &harmed {
            top_up(project, &mut ids).await?;
            kill_and_start(container).await?;
            ids.push(works_again(project, &format!("{} was killed", container.name)).await?);
        }
        let done = completed(project).await?;
        ensure!(
            done < ids.len(),
            "all was done before the last container was back"
        );
        all_completed(project.api(), &ids).await?;
        eventually("whatever was accepted is completed", async || {
            let stats = stats(project).await?;
            let (all, done) = (&stats["total_tasks"], &stats["completed_tasks"]);
            ensure!(all.as_u64() >= Some(ids.len() as u64), "{stats}");
            Ok(if all == done {
                Ok(())
            } else {
                Err(stats.to_string())
            })
        })
        .await
    })
    .await
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn an_api_that_is_killed_leaves_its_drains_to_the_next_one() -> Result<()> {
    Project::run(Compose::V1, &[], 3, async |project| {
        // Twice what runs at once: every worker runs some when it is told to go.
        let task = json!({"command": "sleep 5", "max_attempts": 1});
        let ids = project.api().submit_all(&vec![task; 24]).await?;
        until_workers(project, "are full", 3, |worker| worker["running"] == 4).await?;
        scale(project, 1).await?;
        until_draining(project, 2).await?;
        let api = project.service("api").await?.remove(0);
        docker(&["kill", &api.id]).await?;
        // They stop by themselves, and nobody removes them.
        until_ended(project, 2).await?;
        docker(&["start", &api.id]).await?;
        project
            .until("one worker is left", |containers| {
                containers
                    .iter()
                    .filter(|one| one.service == "worker")
                    .count()
                    == 1
            })
            .await?;
        all_completed(project.api(), &ids).await?;
        eventually("the audit says that all was done", async || {
            let (_, page) = project.api().get("/api/v1/audit").await?;
            let entry = &page["entries"][0];
            let removed = entry["steps"]
                .as_array()
                .context("no steps")?
                .iter()
                .filter(|step| step["kind"] == "removed");
            Ok(if entry["outcome"] == "done" && removed.count() == 2 {
                Ok(())
            } else {
                Err(page.to_string())
            })
        })
        .await
    })
    .await
}
