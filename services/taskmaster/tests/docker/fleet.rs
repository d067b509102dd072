//! The fleet that the API controls, beside Compose, which controls it as well.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::engine::docker;
use crate::load;
use crate::project::{Compose, Container, Project};

/// Waits until the engine has exactly these workers, by number, all running.
async fn until_numbers(project: &Project, numbers: &[u32]) -> Result<Vec<Container>> {
    let workers = |containers: &[Container]| -> Vec<Container> {
        let workers = containers.iter().filter(|one| one.service == "worker");
        workers.cloned().collect()
    };
    let seen = project
        .until(&format!("the workers are {numbers:?}"), |containers| {
            let workers = workers(containers);
            let found: Vec<u32> = workers.iter().map(|worker| worker.number).collect();
            found == numbers && workers.iter().all(|worker| worker.state == "running")
        })
        .await?;
    Ok(workers(&seen))
}

/// The API's scaling, as the seed has it.
async fn scale(project: &Project, count: u32) -> Result<Value> {
    let (status, answer) = project
        .api()
        .post("/api/workers/scale", &json!({"count": count}))
        .await?;
    ensure!(status == 200, "{status}: {answer}");
    Ok(answer)
}

/// How many workers Compose itself says run.
async fn compose_counts(project: &Project) -> Result<usize> {
    let listed = project.compose(&["ps", "--quiet", "worker"]).await?;
    Ok(listed.lines().filter(|line| !line.is_empty()).count())
}

/// 3 → 6 → 2, a kill, and Compose's own turn after it, while tasks keep coming.
async fn takes_turns(project: &Project) -> Result<()> {
    load::during(project.api(), async {
        let answer = scale(project, 6).await?;
        ensure!(
            answer["started"]
                .as_array()
                .is_some_and(|started| started.len() == 3),
            "{answer}"
        );
        until_numbers(project, &[1, 2, 3, 4, 5, 6]).await?;
        ensure!(compose_counts(project).await? == 6);
        project.until_online(6).await?;

        let answer = scale(project, 2).await?;
        let draining = answer["draining"].as_array().context("nobody drains")?;
        ensure!(draining.len() == 4, "{answer}");
        let left = project
            .until("2 workers are left", |containers| {
                let workers = containers.iter().filter(|one| one.service == "worker");
                workers.count() == 2
            })
            .await?;
        ensure!(compose_counts(project).await? == 2);

        let workers: Vec<&Container> = left.iter().filter(|one| one.service == "worker").collect();
        let (kept, killed) = (workers[0].clone(), workers[1].name.clone());
        let (status, answer) = project
            .api()
            .post("/api/workers/kill", &json!({"name": killed}))
            .await?;
        ensure!(status == 200, "{status}: {answer}");
        until_numbers(project, &[kept.number]).await?;
        ensure!(compose_counts(project).await? == 1);

        project
            .compose(&["up", "-d", "--no-build", "--scale", "worker=4"])
            .await?;
        let four = project.service("worker").await?;
        ensure!(four.len() == 4, "{four:?}");
        ensure!(
            four.iter().any(|worker| worker.id == kept.id),
            "Compose has made a container of ours anew: {four:?}"
        );
        project.until_online(4).await
    })
    .await
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn the_api_and_compose_1_take_turns_under_load() -> Result<()> {
    Project::run(Compose::V1, &[], 3, takes_turns).await
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn the_api_and_compose_2_take_turns_under_load() -> Result<()> {
    Project::run(Compose::V2, &[], 3, takes_turns).await
}

/// An inspection without what is each container's own.
async fn normalised(container: &Container) -> Result<Value> {
    let inspection = docker(&["container", "inspect", &container.id]).await?;
    let short = &container.id[..12];
    let own = inspection
        .replace(&container.id, "<id>")
        .replace(short, "<short>")
        .replace(&container.name, "<name>");
    let mut inspection: Value = serde_json::from_str(&own)?;
    let inspection = inspection[0].take();
    let labels = &inspection["Config"]["Labels"];
    ensure!(
        labels["com.docker.compose.container-number"] == json!(container.number.to_string()),
        "{labels}"
    );
    let mut networks = inspection["NetworkSettings"]["Networks"].clone();
    for endpoint in networks
        .as_object_mut()
        .context("no networks")?
        .values_mut()
    {
        for address in ["EndpointID", "IPAddress", "MacAddress"] {
            endpoint[address].take();
        }
        if let Some(aliases) = endpoint["Aliases"].as_array_mut() {
            aliases.sort_by_key(ToString::to_string);
        }
    }
    let mut config = inspection["Config"].clone();
    config["Labels"]["com.docker.compose.container-number"].take();
    Ok(json!({
        "Config": config, "HostConfig": inspection["HostConfig"], "Image": inspection["Image"],
        "Mounts": inspection["Mounts"], "Path": inspection["Path"], "Args": inspection["Args"],
        "Networks": networks,
    }))
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn a_container_that_the_api_made_is_as_compose_makes_them() -> Result<()> {
    for compose in Compose::BOTH {
        Project::run(compose, &[], 1, async |project| {
            scale(project, 2).await?;
            let workers = until_numbers(project, &[1, 2]).await?;
            let (theirs, ours) = (
                normalised(&workers[0]).await?,
                normalised(&workers[1]).await?,
            );
            ensure!(theirs == ours, "{compose:?}:\n{theirs:#}\n{ours:#}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// What must not change: every container of the engine, and since when it runs.
async fn everything() -> Result<String> {
    let ids = docker(&["ps", "--all", "--quiet", "--no-trunc"]).await?;
    let mut arguments = vec![
        "container",
        "inspect",
        "--format",
        "{{.Id}} {{.Name}} {{.State.Status}} {{.State.StartedAt}}",
    ];
    arguments.extend(ids.lines());
    docker(&arguments).await
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn nothing_but_a_worker_of_this_project_can_be_killed() -> Result<()> {
    Project::run(Compose::V1, &[], 1, async |project| {
        let foreign = Project::new(Compose::V1, &[])?;
        foreign
            .compose(&["up", "-d", "--no-build", "postgres"])
            .await?;
        let foreigner = foreign.service("postgres").await?.remove(0);
        let postgres = project.service("postgres").await?.remove(0);
        let before = everything().await?;
        for name in [
            postgres.name.as_str(),
            &postgres.id,
            &postgres.id[..12],
            &foreigner.name,
            &foreigner.id,
            "x; docker rm -f",
            "../../containers/json",
            "",
        ] {
            let (status, answer) = project
                .api()
                .post("/api/workers/kill", &json!({"name": name}))
                .await?;
            ensure!((400..500).contains(&status), "{name}: {status}: {answer}");
        }
        for count in [
            json!(0),
            json!(51),
            json!(-1),
            json!("3; reboot"),
            json!(null),
        ] {
            let (status, answer) = project
                .api()
                .post("/api/workers/scale", &json!({"count": count}))
                .await?;
            ensure!(status == 400, "{count}: {status}: {answer}");
        }
        let after = everything().await?;
        ensure!(before == after, "before:\n{before}\nafter:\n{after}");
        foreign.finish().await
    })
    .await
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn the_last_one_is_stopped_and_started_again() -> Result<()> {
    Project::run(Compose::V1, &[], 1, async |project| {
        let worker = project.service("worker").await?.remove(0);
        let body = json!({"name": worker.name});
        let (status, answer) = project.api().post("/api/workers/kill", &body).await?;
        ensure!(status == 200, "{status}: {answer}");
        project
            .until("it has stopped", |containers| {
                containers
                    .iter()
                    .any(|one| one.id == worker.id && one.state == "exited")
            })
            .await?;
        let answer = scale(project, 1).await?;
        ensure!(answer["started"] == json!([worker.name]), "{answer}");
        let workers = until_numbers(project, &[worker.number]).await?;
        ensure!(workers[0].id == worker.id, "the same container");
        project.until_online(1).await
    })
    .await
}

/// From the call to the answer, after which all ten run.
async fn timed(project: &Project, grow: impl Future<Output = Result<()>>) -> Result<Duration> {
    let begun = Instant::now();
    grow.await?;
    let took = begun.elapsed();
    let workers = project.service("worker").await?;
    ensure!(
        workers.len() == 10 && workers.iter().all(|worker| worker.state == "running"),
        "{workers:?}"
    );
    project.until_online(10).await?;
    scale(project, 2).await?;
    project
        .until("2 workers are left", |containers| {
            containers
                .iter()
                .filter(|one| one.service == "worker")
                .count()
                == 2
        })
        .await?;
    Ok(took)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
#[expect(clippy::print_stderr, reason = "the figure is the point")]
async fn scaling_from_2_to_10_takes_no_longer_than_compose_does() -> Result<()> {
    Project::run(Compose::V1, &[], 2, async |project| {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            ours.push(timed(project, async { scale(project, 10).await.map(drop) }).await?);
            let compose = async {
                let up = ["up", "-d", "--no-build", "--scale", "worker=10"];
                project.compose(&up).await.map(drop)
            };
            theirs.push(timed(project, compose).await?);
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        eprintln!("2 -> 10 workers, medians of 3: by the API {ours:.1?}, by docker-compose {theirs:.1?}: {ratio:.2}");
        ensure!(ratio <= 1.0, "{ratio:.2}");
        Ok(())
    })
    .await
}
