//! Containers that are killed while tasks run: nothing that was accepted is lost.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskmaster_testkit::eventually;

use crate::engine::docker;
use crate::load::all_completed;
use crate::project::{Compose, Container, Project};

/// What is there before the first container is killed: enough to last until the last one is.
const TASKS: usize = 2_400;
/// More than one, as each kill of a worker spends an attempt of what it runs.
const ATTEMPTS: u32 = 10;

/// Kills a container as `docker kill` does, and starts it again: the engine takes that for meant.
async fn kill_and_start(container: &Container) -> Result<()> {
    docker(&["kill", &container.id]).await?;
    docker(&["start", &container.id]).await?;
    Ok(())
}

async fn completed(project: &Project) -> Result<u64> {
    let (status, stats) = project.api().get("/api/stats").await?;
    ensure!(status == 200, "{stats}");
    stats["completed_tasks"].as_u64().context("no count")
}

/// Waits until more tasks are completed than now: everything works again.
async fn works_again(project: &Project, after: &str) -> Result<()> {
    let mut before = None;
    eventually(&format!("tasks complete after {after}"), async || {
        // While Postgres is away the API says so.
        let Ok(now) = completed(project).await else {
            return Ok(Err("the API does not tell".to_owned()));
        };
        let before = *before.get_or_insert(now);
        Ok(if now > before {
            Ok(())
        } else {
            Err(format!("{now} are completed"))
        })
    })
    .await
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn nothing_is_lost_when_containers_are_killed() -> Result<()> {
    Project::run(Compose::V1, &[], 3, async |project| {
        let tasks: Vec<Value> = (0..TASKS)
            .map(|number| json!({"command": format!("echo {number}; sleep 0.5"), "max_attempts": ATTEMPTS}))
            .collect();
        let mut ids = Vec::new();
        for batch in tasks.chunks(800) {
            ids.extend(project.api().submit_all(batch).await?);
        }
        works_again(project, "the submission").await?;
        let mut harmed = project.service("worker").await?;
        harmed.extend(project.service("coordinator").await?);
        harmed.extend(project.service("rabbitmq").await?);
        harmed.extend(project.service("postgres").await?);
        ensure!(harmed.len() == 7, "{harmed:?}");
        for container in &harmed {
            kill_and_start(container).await?;
            works_again(project, &format!("{} was killed", container.name)).await?;
        }
        let left = TASKS as u64 - completed(project).await?;
        ensure!(left > 0, "all was done before the last container was killed");
        while completed(project).await? < TASKS as u64 {
            works_again(project, "all of that").await?;
        }
        all_completed(project.api(), &ids).await?;
        ensure!(completed(project).await? == TASKS as u64);
        Ok(())
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
        eventually("every worker is full", async || {
            let (_, body) = project.api().get("/api/v1/workers").await?;
            let workers = body["workers"].as_array().context("no workers")?;
            Ok(if workers.iter().all(|worker| worker["running"] == 4) {
                Ok(())
            } else {
                Err(body.to_string())
            })
        })
        .await?;
        let (status, answer) = project
            .api()
            .post("/api/workers/scale", &json!({"count": 1}))
            .await?;
        ensure!(status == 200, "{status}: {answer}");
        let api = project.service("api").await?.remove(0);
        docker(&["kill", &api.id]).await?;
        // They stop by themselves, and nobody removes them.
        project
            .until("two workers have ended", |containers| {
                let ended = containers
                    .iter()
                    .filter(|one| one.service == "worker" && one.state == "exited");
                ended.count() == 2
            })
            .await?;
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
