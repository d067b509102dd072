//! The fleet's size, with child processes as workers.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use taskmaster_fleet::{Fleet, Output, ProcessFleet, ProcessFleetConfig};
use tempfile::TempDir;

use crate::answer::PATIENCE;
use crate::api::TestApi;
use crate::stand_in::StandIn;

pub(crate) async fn fleet(folder: &TempDir, count: u32) -> Fleet {
    let program = folder.path().join("worker");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
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

#[tokio::test]
async fn scale_and_kill() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 2).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let shown = api.get("/api/v1/fleet").await.json(200);
    assert_eq!(
        (&shown["kind"], &shown["desired"]),
        (&json!("processes"), &json!(2))
    );
    assert_eq!((&shown["min"], &shown["max"]), (&json!(1), &json!(50)));

    let scaled = api
        .post("/api/workers/scale", json!({"count": 3}))
        .await
        .json(200);
    let message = "scaled to 3: 1 started, 0 draining";
    assert_eq!(
        scaled,
        json!({"count": 3, "started": ["worker-3"], "draining": [], "message": message})
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
        json!({"name": "worker-1", "message": "worker-1 was told to stop"})
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
    let shown = api.get("/api/v1/fleet").await.json(200);
    assert_eq!(
        (&shown["kind"], &shown["desired"]),
        (&json!("none"), &json!(null))
    );
    for answer in [
        api.post("/api/workers/scale", json!({"count": 3})).await,
        api.post("/api/workers/kill", json!({"name": "worker-1"}))
            .await,
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
