//! `docker-compose up`, by both generations of Compose: what a user types, and what is there then.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::engine::docker;
use crate::project::{Compose, Project};

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn both_generations_take_the_file_and_say_what_it_lacks() -> Result<()> {
    for compose in Compose::BOTH {
        let project = Project::new(compose, &[])?;
        let config = project.compose(&["config", "--services"]).await?;
        let mut services: Vec<_> = config.lines().collect();
        services.sort_unstable();
        assert_eq!(
            services,
            [
                "api",
                "coordinator",
                "docker-proxy",
                "migrate",
                "postgres",
                "rabbitmq",
                "worker"
            ]
        );

        let settings = std::fs::read_to_string(project.env_file())?;
        let without = settings.lines().filter(|line| !line.contains("PASSWORD="));
        std::fs::write(
            project.env_file(),
            without.collect::<Vec<_>>().join("\n") + "\n",
        )?;
        let refused = project.compose(&["config"]).await;
        let error = format!("{:#}", refused.err().context("there is no password")?);
        assert!(error.contains("run sh deploy/env.sh once"), "{error}");
        // Or it could not be taken down.
        std::fs::write(project.env_file(), settings)?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn compose_1_brings_all_of_it_up() -> Result<()> {
    Project::run(Compose::V1, &[], 3, async |project| {
        assert_eq!(counts(project).await?, counted(3));
        restrictions_hold(project).await?;
        passwords_are_needed(project).await?;
        original_requests(project).await?;
        commands_end_as_they_do_elsewhere(project).await
    })
    .await
}

#[tokio::test]
#[ignore = "needs a Docker engine: cargo xtask test --only docker"]
async fn compose_2_brings_all_of_it_up() -> Result<()> {
    Project::run(Compose::V2, &[], 3, async |project| {
        assert_eq!(counts(project).await?, counted(3));
        restrictions_hold(project).await?;
        original_requests(project).await
    })
    .await
}

/// How many containers each service has.
async fn counts(project: &Project) -> Result<BTreeMap<String, usize>> {
    let mut counts = BTreeMap::new();
    for container in project.containers().await? {
        *counts.entry(container.service).or_default() += 1;
    }
    Ok(counts)
}

/// How many they should be.
fn counted(workers: usize) -> BTreeMap<String, usize> {
    [
        ("api", 1),
        ("coordinator", 2),
        ("docker-proxy", 1),
        ("migrate", 1),
        ("postgres", 1),
        ("rabbitmq", 1),
        ("worker", workers),
    ]
    .map(|(service, count)| (service.to_owned(), count))
    .into()
}

/// What the engine made of the limits, the policies and the ports.
async fn restrictions_hold(project: &Project) -> Result<()> {
    for container in project.containers().await? {
        let inspection = docker(&["container", "inspect", &container.id]).await?;
        let inspection: Value = serde_json::from_str(&inspection)?;
        let (inspection, host) = (&inspection[0], &inspection[0]["HostConfig"]);
        let service = container.service.as_str();
        let policy = if service == "migrate" {
            "no"
        } else {
            "unless-stopped"
        };
        assert_eq!(host["RestartPolicy"]["Name"], policy, "{service}");
        for limit in ["Memory", "PidsLimit"] {
            assert!(host[limit].as_i64() > Some(0), "{service}: {host}");
        }
        if !["postgres", "rabbitmq"].contains(&service) {
            assert_eq!(host["ReadonlyRootfs"], true, "{service}");
            // The first process, which reaps what nobody waits for.
            assert_eq!(inspection["Path"], "/usr/bin/tini", "{service}");
        }
        let published = host["PortBindings"].as_object();
        let published = published.map_or(json!({}), |ports| json!(ports));
        let port = json!([{"HostIp": "127.0.0.1", "HostPort": project.port().to_string()}]);
        let expected = if service == "api" {
            json!({"8081/tcp": port})
        } else {
            json!({})
        };
        assert_eq!(published, expected, "{service}");
    }
    Ok(())
}

/// Neither server lets anyone in who has no password, or a usual one.
async fn passwords_are_needed(project: &Project) -> Result<()> {
    let postgres = &project.service("postgres").await?[0].id;
    let psql = "psql --host 127.0.0.1 --username taskmaster --command 'select 1' taskmaster";
    for password in ["", "postgres", "taskmaster"] {
        let variable = format!("PGPASSWORD={password}");
        let entered = docker(&["exec", "--env", &variable, postgres, "sh", "-c", psql]).await;
        let error = format!("{:#}", entered.err().context("Postgres let it in")?);
        assert!(error.contains("password"), "{error}");
    }
    let rabbitmq = &project.service("rabbitmq").await?[0].id;
    let list = ["rabbitmqctl", "--quiet", "list_users", "--formatter=json"];
    let users = docker(&[&["exec", rabbitmq.as_str()], &list[..]].concat()).await?;
    let users: Value = serde_json::from_str(&users).with_context(|| users.clone())?;
    let names: Vec<_> = users
        .as_array()
        .context("no users")?
        .iter()
        .map(|user| &user["user"])
        .collect();
    assert_eq!(names, ["taskmaster"]);
    Ok(())
}

/// The original description's requests, through the published port.
async fn original_requests(project: &Project) -> Result<()> {
    let api = project.api();
    let request = json!({"command": "echo hello", "scheduled_at": "2024-01-23T10:00:00.000Z"});
    let (status, scheduled) = api.post("/api/schedule", &request).await?;
    ensure!(status < 300, "{status}: {scheduled}");
    assert_eq!(scheduled["status"], "scheduled");
    let id = scheduled["task_id"].as_str().context("no task_id")?;
    api.wait(id, "completed").await?;

    let (_, task) = api.get(&format!("/api/status?task_id={id}")).await?;
    assert_eq!(
        (&task["status"], &task["command"]),
        (&json!("completed"), &request["command"])
    );
    assert!(task["assigned_worker"].is_i64(), "{task}");
    let (_, tasks) = api.get("/api/tasks").await?;
    assert_eq!(tasks["tasks"][0]["id"], id);
    let (_, workers) = api.get("/api/workers").await?;
    assert_eq!(workers["workers"].as_array().map(Vec::len), Some(3));
    let (_, stats) = api.get("/api/stats").await?;
    assert_eq!(stats["completed_tasks"], 1);
    let (status, _) = api.get("/readyz").await?;
    assert_eq!(status, 200);
    assert!(api.text("/").await?.contains("<div id=\"root\">"));
    Ok(())
}

/// The ways in which a command's end is not its own, for a user without rights in a container.
async fn commands_end_as_they_do_elsewhere(project: &Project) -> Result<()> {
    let api = project.api();
    let ids = api
        .submit_all(&[
            json!({"command": "trap '' TERM; sleep 1000", "timeout_seconds": 1}),
            json!({"command": "setsid sleep 1001 & sleep 1002 & echo started"}),
            json!({"command": "sleep 1003"}),
            json!({"command": "perl -e 'push @all, \"x\" x 10_000_000 while 1'"}),
        ])
        .await?;
    let [timed_out, leaving, cancelled, hungry] = &ids[..] else {
        anyhow::bail!("{ids:?}");
    };
    api.wait(cancelled, "running").await?;
    let path = format!("/api/v1/tasks/{cancelled}/cancel");
    let (status, answer) = api.post(&path, &Value::Null).await?;
    ensure!(status == 200, "{status}: {answer}");
    api.wait(cancelled, "cancelled").await?;
    api.wait(leaving, "completed").await?;
    assert_eq!(api.output(leaving).await?.trim(), "started");
    for (id, reason) in [
        (timed_out, "time limit of 1 s"),
        (hungry, "killed: out of memory"),
    ] {
        let task = api.wait(id, "failed").await?;
        let message = task["error_message"].as_str().unwrap_or_default();
        assert!(message.contains(reason), "{task}");
    }
    for worker in project.service("worker").await? {
        let processes = docker(&["top", &worker.id, "-o", "pid,args"]).await?;
        assert!(!processes.contains("sleep 100"), "{processes}");
        // The kernel ended the command, and not the worker.
        assert!(worker.is_well(), "{worker:?}");
    }
    Ok(())
}
