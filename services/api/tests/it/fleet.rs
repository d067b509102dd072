//! The fleet's size, with child processes as workers.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use serde_json::json;
use taskmaster_fleet::{
    DockerFleet, DockerFleetConfig, Fleet, Output, ProcessFleet, ProcessFleetConfig,
};
use taskmaster_store::workers;
use taskmaster_testkit::eventually;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::answer::PATIENCE;
use crate::api::{TestApi, closed_port};
use crate::audit::{ended, entries};
use crate::stand_in::StandIn;

pub(crate) async fn fleet(folder: &TempDir, count: u32) -> Fleet {
    fleet_of(folder, "exec sleep 600", count).await
}

/// Workers that do what `script` says, in `folder`.
pub(crate) async fn fleet_of(folder: &TempDir, script: &str, count: u32) -> Fleet {
    let program = folder.path().join("worker");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let config = ProcessFleetConfig {
        program,
        args: Vec::new(),
        envs: Vec::new(),
        grace: Duration::from_secs(5),
        output: Output::Files(folder.path().to_owned()),
    };
    Fleet::Processes(ProcessFleet::start(config, count).await.unwrap())
}

/// Waits until the worker has made a file of its name: before that, it does not catch signals.
pub(crate) async fn until_ready(folder: &TempDir, name: &str) {
    let ready = folder.path().join(format!("{name}.ready"));
    let look = async || {
        Ok(if ready.exists() {
            Ok(())
        } else {
            Err("no file".to_owned())
        })
    };
    eventually(&format!("{name} is ready"), look).await.unwrap();
}

#[tokio::test]
async fn scale_and_kill() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 2).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let mut shown = api.get("/api/v1/fleet").await.json(200);
    // Shown elsewhere.
    shown.as_object_mut().unwrap().remove("autoscaler");
    let mut pids = Vec::new();
    for member in shown["members"].as_array().unwrap() {
        pids.push(member["pid"].clone());
    }
    let member = |number: usize| {
        json!({"name": format!("worker-{}", number + 1), "state": "starting", "worker": null, "host": null,
            "pid": pids[number], "node": null})
    };
    assert_eq!(
        shown,
        json!({"kind": "processes", "available": true, "reason": null, "desired": 2, "min": 1, "max": 50,
            "members": [member(0), member(1)], "nodes": []})
    );

    let scaled = api
        .post("/api/workers/scale", json!({"count": 3}))
        .await
        .json(200);
    let message = "scaled to 3: 1 started, 0 draining";
    assert_eq!(
        scaled,
        json!({"count": 3, "started": ["worker-3"], "draining": [], "failed": [],
            "operation_id": scaled["operation_id"], "message": message})
    );

    // The highest number would go, had it nothing to do.
    api.submit(json!({"command": "sleep 9"})).await;
    StandIn::register(api.pool(), "worker-3")
        .await
        .start()
        .await;
    let scaled = api
        .post("/api/workers/scale", json!({"count": 2}))
        .await
        .json(200);
    assert_eq!(scaled["draining"], json!(["worker-2"]));

    let killed = api
        .post("/api/workers/kill", json!({"name": "worker-1"}))
        .await
        .json(200);
    assert_eq!(
        killed,
        json!({"name": "worker-1", "operation_id": killed["operation_id"], "message": "worker-1 was told to stop"})
    );
    assert_eq!(api.get("/api/v1/fleet").await.json(200)["desired"], 1);

    let problem = api
        .post("/api/workers/kill", json!({"name": "worker-9"}))
        .await
        .problem(404);
    assert!(problem["detail"].as_str().unwrap().contains("worker-9"));
    assert_eq!(api.get("/api/v1/fleet").await.json(200)["desired"], 1);
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_drained_worker_makes_the_fleet_smaller_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 2).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let path = "/api/v1/workers/worker-1/drain";
    api.ask(path).await.problem(404);
    assert_eq!(
        fleet.desired().await.unwrap(),
        Some(2),
        "it never came online"
    );
    for name in ["worker-1", "elsewhere"] {
        StandIn::register(api.pool(), name).await;
    }
    for _ in 0..2 {
        api.ask(path).await.json(202);
        assert_eq!(api.get("/api/v1/fleet").await.json(200)["desired"], 1);
    }
    // The process ends of the fleet's SIGTERM, and is not started again.
    let mut changes = fleet.changes().unwrap();
    let gone = changes.wait_for(|workers| workers.iter().all(|worker| worker.name == "worker-2"));
    tokio::time::timeout(PATIENCE, gone).await.unwrap().unwrap();
    // A worker of somebody else's drains as well, and the fleet stays as it is.
    api.ask("/api/v1/workers/elsewhere/drain").await.json(202);
    assert_eq!(api.get("/api/v1/fleet").await.json(200)["desired"], 1);
    fleet.shutdown().await;
}

#[tokio::test]
async fn without_a_fleet() {
    let api = TestApi::start().await;
    let mut shown = api.get("/api/v1/fleet").await.json(200);
    shown.as_object_mut().unwrap().remove("autoscaler");
    assert_eq!(
        shown,
        json!({"kind": "none", "available": true, "reason": null, "desired": null, "min": 1, "max": 50,
            "members": [], "nodes": []})
    );
    for answer in [
        api.post("/api/workers/scale", json!({"count": 3})).await,
        api.post("/api/workers/kill", json!({"name": "worker-1"}))
            .await,
        api.post("/api/v1/fleet/scale", json!({"count": 3})).await,
        api.ask("/api/v1/workers/worker-1/kill").await,
    ] {
        let problem = answer.problem(501);
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("taskmaster up")
        );
    }
}

/// What a member does comes of its process and of what Postgres knows of it, if that is about the same process.
#[tokio::test]
async fn members_are_online_when_their_process_has_signed_on() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 3).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let members = fleet.workers().await.unwrap();
    let pid = |index: usize| i32::try_from(members[index].pid.unwrap()).unwrap();
    StandIn::register_as(api.pool(), "worker-1", pid(0)).await;
    // The process before the one that runs now.
    StandIn::register_as(api.pool(), "worker-2", pid(1) + 1).await;
    StandIn::register_as(api.pool(), "worker-3", pid(2)).await;
    workers::request_drain(api.pool(), "worker-3")
        .await
        .unwrap();
    let shown = api.get("/api/v1/fleet").await.json(200);
    let states: Vec<_> = shown["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| (&member["name"], &member["state"], &member["worker"]))
        .collect();
    let expected = [
        (json!("worker-1"), json!("online"), json!("worker-1")),
        (json!("worker-2"), json!("starting"), json!(null)),
        (json!("worker-3"), json!("draining"), json!("worker-3")),
    ];
    let expected: Vec<_> = expected.iter().map(|(a, b, c)| (a, b, c)).collect();
    assert_eq!(states, expected);
    fleet.shutdown().await;
}

#[tokio::test]
async fn an_engine_that_is_away_changes_nothing_and_is_told() {
    let config = DockerFleetConfig {
        host: format!("tcp://127.0.0.1:{}", closed_port()),
        project: Some("a-project".to_owned()),
        service: "worker".to_owned(),
    };
    let fleet = Fleet::Docker(DockerFleet::new(config).unwrap());
    let api = TestApi::with_fleet(fleet).await;
    let mut shown = api.get("/api/v1/fleet").await.json(200);
    shown["autoscaler"].take();
    assert_eq!(
        shown,
        json!({"kind": "docker", "autoscaler": null, "available": false, "reason": "the Docker engine does not answer", "desired": null,
            "min": 1, "max": 50, "members": [], "nodes": []})
    );
    StandIn::register(api.pool(), "worker-1").await;
    for answer in [
        api.post("/api/workers/scale", json!({"count": 3})).await,
        api.post("/api/workers/kill", json!({"name": "worker-1"}))
            .await,
        api.post("/api/v1/fleet/scale", json!({"count": 3})).await,
        api.ask("/api/v1/workers/worker-1/kill").await,
        api.ask("/api/v1/workers/worker-1/drain").await,
    ] {
        let problem = answer.problem(503);
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("engine does not answer; nothing was changed"),
            "{detail}"
        );
        assert_eq!(answer.header("retry-after"), "1");
    }
    let workers = workers::list(api.pool()).await.unwrap();
    assert_eq!(workers[0].status, "idle");
}

/// It is no refusal: the engine may have done some of it.
#[tokio::test]
async fn an_engine_that_fails_is_told_as_a_failure() {
    let answer = async || {
        let body = json!({"message": "no space left on device"}).to_string();
        (StatusCode::INTERNAL_SERVER_ERROR, body)
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = DockerFleetConfig {
        host: format!("tcp://{address}"),
        project: Some("a-project".to_owned()),
        service: "worker".to_owned(),
    };
    let fleet = Fleet::Docker(DockerFleet::new(config).unwrap());
    let api = TestApi::with_fleet(fleet).await;
    let scaled = api.post("/api/workers/scale", json!({"count": 3})).await;
    let problem = scaled.problem(502);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("the engine failed (500)"), "{detail}");
    let entry = ended(&api, &entries(&api).await[0]["id"]).await;
    assert_eq!(entry["outcome"], "failed", "{entry}");
}
