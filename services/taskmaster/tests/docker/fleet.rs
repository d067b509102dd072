//! The fleet that the API controls, beside Compose, which controls it as well.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use taskmaster_testkit::eventually;

use crate::engine::{Bystander, docker};
use crate::load;
use crate::project::{Compose, Container, Project};

fn workers(containers: &[Container]) -> Vec<Container> {
    let workers = containers.iter().filter(|one| one.service == "worker");
    workers.cloned().collect()
}

/// Waits until the engine has exactly these workers, by number, all running.
async fn until_numbers(project: &Project, numbers: &[u32]) -> Result<Vec<Container>> {
    let seen = project
        .until(&format!("the workers are {numbers:?}"), |containers| {
            let workers = workers(containers);
            let found: Vec<u32> = workers.iter().map(|worker| worker.number).collect();
            found == numbers && workers.iter().all(|worker| worker.state == "running")
        })
        .await?;
    Ok(workers(&seen))
}

/// Waits until there are so many containers of workers.
pub(crate) async fn until_there(project: &Project, count: usize) -> Result<Vec<Container>> {
    let seen = project
        .until(&format!("there are {count} workers"), |containers| {
            workers(containers).len() == count
        })
        .await?;
    Ok(workers(&seen))
}

/// Waits until what was last asked of the fleet is done, to its end.
pub(crate) async fn until_done(project: &Project) -> Result<()> {
    eventually("the last operation is done", async || {
        let (_, page) = project.api().get("/api/v1/audit").await?;
        let entry = &page["entries"][0];
        Ok(if entry["outcome"] == "done" {
            Ok(())
        } else {
            Err(entry.to_string())
        })
    })
    .await
}

/// The API's scaling, as the seed has it.
pub(crate) async fn scale(project: &Project, count: u32) -> Result<Value> {
    let (status, answer) = project
        .api()
        .post("/api/workers/scale", &json!({"count": count}))
        .await?;
    ensure!(status == 200, "{status}: {answer}");
    Ok(answer)
}

/// Waits until the API says that so many workers are so.
pub(crate) async fn until_workers(
    project: &Project,
    what: &str,
    count: usize,
    so: impl Fn(&Value) -> bool,
) -> Result<()> {
    eventually(&format!("{count} workers {what}"), async || {
        // It may have been started just now.
        let Ok((200, body)) = project.api().get("/api/v1/workers").await else {
            return Ok(Err("the API does not answer".to_owned()));
        };
        let workers = body["workers"].as_array().context("no workers")?;
        Ok(
            if workers.iter().filter(|worker| so(worker)).count() == count {
                Ok(())
            } else {
                Err(body.to_string())
            },
        )
    })
    .await
}

pub(crate) async fn until_draining(project: &Project, count: usize) -> Result<()> {
    until_workers(project, "drain", count, |worker| {
        worker["status"] == "draining"
    })
    .await
}

/// Waits until so many workers have stopped by themselves; nobody has removed them.
pub(crate) async fn until_ended(project: &Project, count: usize) -> Result<()> {
    let what = format!("{count} workers have ended");
    project
        .until(&what, |containers| {
            let ended = containers
                .iter()
                .filter(|one| one.service == "worker" && one.state == "exited");
            ended.count() == count
        })
        .await?;
    Ok(())
}

/// Compose itself says that the workers are those that the engine has.
async fn compose_agrees(project: &Project) -> Result<()> {
    let listed = project.compose(&["ps", "--quiet", "worker"]).await?;
    let mut listed: Vec<&str> = listed.lines().filter(|line| !line.is_empty()).collect();
    listed.sort_unstable();
    let there = project.service("worker").await?;
    let mut ids: Vec<&str> = there.iter().map(|worker| worker.id.as_str()).collect();
    ids.sort_unstable();
    ensure!(listed == ids, "Compose: {listed:?}, the engine: {there:?}");
    Ok(())
}

/// One that the API made is as Compose makes them, and Compose shows what it says.
async fn ours_is_like_theirs(project: &Project) -> Result<()> {
    scale(project, 4).await?;
    let workers = until_numbers(project, &[1, 2, 3, 4]).await?;
    let theirs = normalised(&workers[0]).await?;
    let ours = normalised(&workers[3]).await?;
    ensure!(theirs == ours, "{theirs:#}\n{ours:#}");
    project.until_online(4).await?;
    let logs = project.compose(&["logs", "--no-color", "worker"]).await?;
    let host = &workers[3].id[..12];
    ensure!(
        logs.lines()
            .any(|line| line.contains("online") && line.contains(host)),
        "nothing of {host}:\n{logs}"
    );
    scale(project, 3).await?;
    until_numbers(project, &[1, 2, 3]).await?;
    until_done(project).await
}

/// 3 → 6 → 2, a kill, and Compose's own turns between and after, while tasks keep coming.
async fn takes_turns(project: &Project) -> Result<()> {
    ours_is_like_theirs(project).await?;
    load::during(project.api(), async {
        let answer = scale(project, 6).await?;
        ensure!(
            answer["started"]
                .as_array()
                .is_some_and(|started| started.len() == 3),
            "{answer}"
        );
        let six = until_numbers(project, &[1, 2, 3, 4, 5, 6]).await?;
        compose_agrees(project).await?;
        project
            .compose(&["up", "-d", "--no-build", "--scale", "worker=6"])
            .await?;
        let still = until_numbers(project, &[1, 2, 3, 4, 5, 6]).await?;
        let ids = |workers: &[Container]| -> Vec<String> {
            workers.iter().map(|worker| worker.id.clone()).collect()
        };
        ensure!(
            ids(&still) == ids(&six),
            "Compose has made containers of ours anew: {six:?} {still:?}"
        );
        project.until_online(6).await?;

        let answer = scale(project, 2).await?;
        let draining = answer["draining"].as_array().context("nobody drains")?;
        ensure!(draining.len() == 4, "{answer}");
        let left = until_there(project, 2).await?;
        compose_agrees(project).await?;

        let (kept, killed) = (&left[0], &left[1].name);
        let (status, answer) = project
            .api()
            .post("/api/workers/kill", &json!({"name": killed}))
            .await?;
        ensure!(status == 200, "{status}: {answer}");
        until_numbers(project, &[kept.number]).await?;
        compose_agrees(project).await?;

        project
            .compose(&["up", "-d", "--no-build", "--scale", "worker=4"])
            .await?;
        let four = project.service("worker").await?;
        ensure!(four.len() == 4, "{four:?}");
        ensure!(
            four.iter().any(|worker| worker.id == kept.id),
            "Compose has made a container of ours anew: {four:?}"
        );
        compose_agrees(project).await?;
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
    // The second generation lists these as chance has it, for each container anew.
    if let Some(variables) = config["Env"].as_array_mut() {
        variables.sort_by_key(ToString::to_string);
    }
    let needs = &mut config["Labels"]["com.docker.compose.depends_on"];
    if let Some(listed) = needs.as_str() {
        let mut sorted: Vec<&str> = listed.split(',').collect();
        sorted.sort_unstable();
        *needs = json!(sorted);
    }
    Ok(json!({
        "Config": config, "HostConfig": inspection["HostConfig"], "Image": inspection["Image"],
        "Mounts": inspection["Mounts"], "Path": inspection["Path"], "Args": inspection["Args"],
        "Networks": networks,
    }))
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
        // Told to go while it sets itself up, it would not.
        foreign
            .until("it is up", |containers| {
                !containers.is_empty() && containers.iter().all(Container::is_well)
            })
            .await?;
        let foreigner = foreign.service("postgres").await?.remove(0);
        let neighbour = Bystander::worker().await?;
        let named = ["inspect", "--format", "{{.Name}}", &neighbour.id];
        let neighbours_name = docker(&named).await?;
        let postgres = project.service("postgres").await?.remove(0);
        let before = everything().await?;
        for name in [
            postgres.name.as_str(),
            &postgres.id,
            &postgres.id[..12],
            &foreigner.name,
            &foreigner.id,
            neighbours_name.trim_start_matches('/'),
            &neighbour.id[..12],
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
    until_there(project, 2).await?;
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
