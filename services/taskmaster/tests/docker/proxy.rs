//! What the API's container can ask of the engine, through the only one that holds its socket: about the workers of its
//! own project, the little that a fleet needs; about all else, nothing. And who cannot ask at all.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::engine::{Bystander, docker};
use crate::isolation;
use crate::project::{Compose, Container, Project};

/// Asks the proxy from within a container: the status and the body.
async fn ask(from: &Container, line: &str, body: &Value) -> Result<(u16, String)> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let request = format!(
        "{line} HTTP/1.1\r\nHost: docker-proxy\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let script = r#"exec 3<>/dev/tcp/docker-proxy/2375 && printf %s "$0" >&3 && cat <&3"#;
    let answer = docker(&["exec", &from.id, "bash", "-c", script, &request]).await?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or((answer.as_str(), ""));
    let status = head.split(' ').nth(1).context("no answer")?.parse()?;
    Ok((status, body.to_owned()))
}

async fn inspect(id: &str) -> Result<Value> {
    let said: Value = serde_json::from_str(&docker(&["inspect", id]).await?)?;
    Ok(said[0].clone())
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn nobody_reaches_more_than_they_need() -> Result<()> {
    Project::run(Compose::V1, &[], 2, async |project| {
        isolation::a_task_finds_no_password_and_reaches_nobody_but_the_servers(project).await?;
        the_api_reaches_its_own_workers_and_nothing_else(project).await?;
        only_the_api_reaches_it_and_only_it_has_the_socket(project).await?;
        a_new_worker_is_like_the_others_whatever_is_asked_for(project).await
    })
    .await
}

async fn the_api_reaches_its_own_workers_and_nothing_else(project: &Project) -> Result<()> {
    let api = &project.service("api").await?[0];
    let stranger = Bystander::start(&[]).await?;
    // Of another project, with a worker's other labels.
    let neighbour = Bystander::worker().await?;

    let nothing = Value::Null;
    let (status, body) = ask(api, "GET /_ping", &nothing).await?;
    ensure!(status == 200, "{status}: {body}");
    let (_, list) = ask(api, "GET /containers/json?all=1", &nothing).await?;
    let list: Value = serde_json::from_str(&list)?;
    let listed = list.as_array().context("no list")?.iter();
    let mut listed: Vec<_> = listed
        .map(|said| said["Id"].as_str().unwrap_or_default())
        .collect();
    listed.sort_unstable();
    let workers = project.service("worker").await?;
    let mut ids: Vec<_> = workers.iter().map(|worker| worker.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(listed, ids);

    // Not the proxy's own container either, nor the API's.
    let mut foreign = vec![stranger.id.clone(), neighbour.id.clone()];
    let others = project.containers().await?.into_iter();
    foreign.extend(
        others
            .filter(|other| other.service != "worker")
            .map(|other| other.id),
    );
    for id in &foreign {
        for line in [
            format!("GET /containers/{id}/json"),
            format!("POST /containers/{id}/stop?t=0"),
            format!("POST /containers/{id}/kill?signal=SIGTERM"),
            format!("DELETE /containers/{id}?v=1"),
        ] {
            let (status, body) = ask(api, &line, &nothing).await?;
            assert_eq!(status, 403, "{line}: {body}");
            assert!(!body.contains("PASSWORD"), "{body}");
        }
    }
    let worker = &workers[0].id;
    for line in [
        format!("POST /containers/{worker}/exec"),
        format!("POST /containers/{worker}/attach?stream=1&stdin=1"),
        format!("GET /containers/{worker}/archive?path=/"),
        format!("GET /containers/{worker}/logs?stdout=1"),
        format!("DELETE /containers/{worker}?v=1&force=1"),
        format!("POST /containers/{worker}/kill?signal=KILL"),
        "GET /images/json".to_owned(),
        "GET /volumes".to_owned(),
        "GET /networks".to_owned(),
        "GET /info".to_owned(),
        "POST /build".to_owned(),
        "POST /swarm/init".to_owned(),
        "GET /containers/../images/json".to_owned(),
        "GET /containers/..%2fimages/json".to_owned(),
    ] {
        let (status, body) = ask(api, &line, &nothing).await?;
        assert_eq!(status, 403, "{line}: {body}");
    }
    for id in [&stranger.id, &neighbour.id] {
        assert_eq!(inspect(id).await?["State"]["Running"], true);
    }
    project
        .until("nothing was touched", |containers| {
            let mut long = containers
                .iter()
                .filter(|container| container.service != "migrate");
            long.all(Container::is_well)
        })
        .await?;
    Ok(())
}

async fn a_new_worker_is_like_the_others_whatever_is_asked_for(project: &Project) -> Result<()> {
    let api = &project.service("api").await?[0];
    let template = inspect(&project.service("worker").await?[0].id).await?;
    let hostile = json!({
        "Image": "debian:bookworm-slim",
        "User": "0:0",
        "Entrypoint": ["sleep", "600"],
        "HostConfig": {
            "Privileged": true,
            "Binds": ["/:/host"],
            "NetworkMode": "host",
            "PidMode": "host",
            "CapAdd": ["ALL"],
        },
    });
    let name = template["Name"].as_str().context("no name")?;
    let prefix = name
        .trim_start_matches('/')
        .trim_end_matches(char::is_numeric);
    let create = |number: u32| format!("POST /containers/create?name={prefix}{number}");
    let (status, _) = ask(api, &create(2), &hostile).await?;
    assert_eq!(status, 409);
    let (status, created) = ask(api, &create(3), &hostile).await?;
    ensure!(status == 201, "{status}: {created}");
    let created: Value = serde_json::from_str(&created)?;
    let id = created["Id"].as_str().context("no id")?;

    let made = inspect(id).await?;
    assert_eq!(made["HostConfig"], template["HostConfig"]);
    assert_eq!(made["Image"], template["Image"]);
    assert_eq!(made["Mounts"], template["Mounts"]);
    for field in [
        "User",
        "Env",
        "Entrypoint",
        "Cmd",
        "Image",
        "Healthcheck",
        "StopTimeout",
    ] {
        assert_eq!(made["Config"][field], template["Config"][field], "{field}");
    }
    let networks = |said: &Value| {
        let networks = said["NetworkSettings"]["Networks"].as_object();
        networks.map(|networks| networks.keys().cloned().collect::<Vec<_>>())
    };
    assert_eq!(networks(&made), networks(&template));

    let line = format!("POST /containers/{id}/start");
    let (status, body) = ask(api, &line, &Value::Null).await?;
    ensure!(status == 204, "{status}: {body}");
    project.until_online(3).await?;
    for (line, expected) in [
        (format!("POST /containers/{id}/stop?t=45"), 204),
        (
            format!("POST /containers/{id}/wait?condition=not-running"),
            200,
        ),
        (format!("DELETE /containers/{id}?v=1"), 204),
        (format!("GET /containers/{id}/json"), 404),
    ] {
        let (status, body) = ask(api, &line, &Value::Null).await?;
        assert_eq!(status, expected, "{line}: {body}");
    }
    assert_eq!(project.service("worker").await?.len(), 2);
    Ok(())
}

async fn only_the_api_reaches_it_and_only_it_has_the_socket(project: &Project) -> Result<()> {
    let proxy = &project.service("docker-proxy").await?[0];
    let addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    let addresses = docker(&["inspect", "--format", addresses, &proxy.id]).await?;
    ensure!(!addresses.trim().is_empty(), "it has no address");
    let places = ["docker-proxy"]
        .into_iter()
        .chain(addresses.split_whitespace());
    let tries = places.map(|place| {
        format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{place}/2375' 2>/dev/null && echo {place}")
    });
    let tries = tries.collect::<Vec<_>>().join("; ") + "; true";
    for container in project.containers().await? {
        let mounts = inspect(&container.id).await?["HostConfig"]["Binds"].to_string();
        let has_socket = mounts.contains("docker.sock");
        assert_eq!(has_socket, container.service == "docker-proxy", "{mounts}");
        if container.state != "running" {
            continue;
        }
        let reached = docker(&["exec", &container.id, "bash", "-c", &tries]).await?;
        let reaches = !reached.is_empty();
        let may = ["api", "docker-proxy"].contains(&container.service.as_str());
        assert_eq!(reaches, may, "{}: {reached}", container.service);
    }
    Ok(())
}
