//! One change of the fleet at a time, whoever asks for it, and carried out whoever listens.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use taskmaster_api::{bind, serve};
use taskmaster_store::fleet_lock::FleetLock;
use taskmaster_testkit::{eventually, until_waiting};
use tokio_util::sync::CancellationToken;

use crate::answer::PATIENCE;
use crate::api::TestApi;
use crate::audit::{ended, entries, steps};
use crate::fleet::fleet;

/// What another API has while it changes the fleet.
async fn taken(api: &TestApi) -> FleetLock {
    let lock = FleetLock::acquire(&api.config.store, PATIENCE).await;
    lock.unwrap().expect("somebody else has it")
}

#[tokio::test]
async fn of_two_scalings_the_second_waits_and_sees_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 2).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let other = api.beside(fleet.clone());
    let lock = taken(&api).await;
    let first = api.post("/api/workers/scale", json!({"count": 4}));
    let second = async {
        until_waiting(api.pool(), 1).await.unwrap();
        other.post("/api/workers/scale", json!({"count": 3})).await
    };
    let both_wait = async {
        until_waiting(api.pool(), 2).await.unwrap();
        assert_eq!(fleet.desired().await.unwrap(), Some(2));
        lock.release().await.unwrap();
    };
    let (first, second, ()) = tokio::join!(first, second, both_wait);
    let (first, second) = (first.json(200), second.json(200));
    assert_eq!(first["started"], json!(["worker-3", "worker-4"]));
    assert_eq!(second["draining"], json!(["worker-4"]));
    assert_eq!(second["started"], json!([]));
    assert_eq!(fleet.desired().await.unwrap(), Some(3));
    fleet.shutdown().await;
}

/// Those of one API wait for each other before they ask Postgres: one connection, not one for each.
#[tokio::test]
async fn many_at_once_are_carried_out_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 1).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let lock = taken(&api).await;
    let counts: Vec<u32> = (2..14).collect();
    let scalings = counts
        .iter()
        .map(|count| api.post("/api/workers/scale", json!({ "count": count })));
    let release = async {
        eventually("all have begun", async || {
            let begun = entries(&api).await.len();
            Ok(if begun == counts.len() {
                Ok(())
            } else {
                Err(begun.to_string())
            })
        })
        .await
        .unwrap();
        until_waiting(api.pool(), 1).await.unwrap();
        lock.release().await.unwrap();
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(scalings), release);
    for answer in answers {
        let id = answer.json(200)["operation_id"].clone();
        assert_eq!(ended(&api, &id).await["outcome"], "done");
    }
    let desired = fleet.desired().await.unwrap().unwrap();
    assert!(counts.contains(&desired));
    let members = fleet.workers().await.unwrap();
    let wanted = members.iter().filter(|member| member.state.is_wanted());
    assert_eq!(wanted.count(), desired as usize);
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_change_that_waits_too_long_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 2).await;
    let api = TestApi::with_patience(fleet.clone(), Duration::from_millis(300)).await;
    let lock = taken(&api).await;
    for answer in [
        api.post("/api/workers/scale", json!({"count": 3})).await,
        api.post("/api/v1/fleet/scale", json!({"count": 3})).await,
        api.ask("/api/v1/workers/worker-1/kill").await,
    ] {
        let problem = answer.problem(409);
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("another change of the fleet is under way"),
            "{detail}"
        );
    }
    for entry in entries(&api).await {
        let entry = ended(&api, &entry["id"]).await;
        assert_eq!(
            (&entry["outcome"], &entry["steps"]),
            (&json!("refused"), &json!([]))
        );
    }
    assert_eq!(fleet.desired().await.unwrap(), Some(2));
    lock.release().await.unwrap();
    api.post("/api/workers/scale", json!({"count": 3}))
        .await
        .json(200);
    fleet.shutdown().await;
}

/// Each that waits is a row, a task and a client.
#[tokio::test]
async fn only_so_many_wait() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 1).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let lock = taken(&api).await;
    let scale = || api.post("/api/workers/scale", json!({"count": 1}));
    let one_more = async {
        eventually("32 have begun", async || {
            let begun = entries(&api).await.len();
            Ok(if begun == 32 {
                Ok(())
            } else {
                Err(begun.to_string())
            })
        })
        .await
        .unwrap();
        let problem = scale().await.problem(503);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("wait already"), "{detail}");
        assert_eq!(entries(&api).await.len(), 32, "it is no operation");
        lock.release().await.unwrap();
    };
    let waiting = futures_util::future::join_all((0..32).map(|_| scale()));
    let (answers, ()) = tokio::join!(waiting, one_more);
    for answer in answers {
        answer.json(200);
    }
    scale().await.json(200);
    fleet.shutdown().await;
}

/// An autoscaler that does not hear of it would undo it.
#[tokio::test]
async fn what_cannot_be_pinned_is_not_scaled() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 1).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let settings = json!({"autoscaler": {"enabled": true}});
    api.put("/api/v1/fleet", settings).await.json(200);
    for statement in [
        "create function away() returns trigger language plpgsql as
         $$ begin raise 'no more connections' using errcode = '53300'; end $$",
        "create trigger away before update on autoscaler execute function away()",
    ] {
        taskmaster_testkit::sqlx::query(statement)
            .execute(api.pool())
            .await
            .unwrap();
    }
    let scale = || api.post("/api/workers/scale", json!({"count": 2}));
    scale().await.problem(503);
    assert_eq!(fleet.desired().await.unwrap(), Some(1));
    let entry = ended(&api, &entries(&api).await[0]["id"]).await;
    assert_eq!(
        (&entry["action"], &entry["outcome"], &entry["steps"]),
        (&json!("fleet.scale"), &json!("failed"), &json!([]))
    );
    taskmaster_testkit::sqlx::query("drop trigger away on autoscaler")
        .execute(api.pool())
        .await
        .unwrap();
    scale().await.json(200);
    let shown = api.get("/api/v1/fleet").await.json(200);
    assert_eq!(
        (&shown["desired"], &shown["autoscaler"]["pinned"]),
        (&json!(2), &json!(true))
    );
    fleet.shutdown().await;
}

/// It decides, waits for its turn, and is not to be heeded any more when that comes.
#[tokio::test]
async fn what_the_autoscaler_decided_by_other_settings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 1).await;
    for change in [json!({"min": 1, "max": 2}), json!({"pinned": true})] {
        let api = TestApi::with_fleet(fleet.clone()).await;
        let set = |settings| api.put("/api/v1/fleet", json!({ "autoscaler": settings }));
        set(json!({"enabled": true, "min": 4})).await.json(200);
        let lock = taken(&api).await;
        let listener = bind(&api.config).await.unwrap();
        let shutdown = CancellationToken::new();
        let shared = Arc::new(fleet.clone());
        let serving = serve(api.config.clone(), listener, shared, shutdown.clone());
        let serving = tokio::spawn(serving);
        until_waiting(api.pool(), 1).await.unwrap();
        set(change.clone()).await.json(200);
        lock.release().await.unwrap();
        let all = entries(&api).await;
        let decided = all
            .iter()
            .find(|entry| entry["action"] == "fleet.autoscale");
        let entry = ended(&api, &decided.unwrap()["id"]).await;
        assert_eq!(entry["outcome"], "refused", "{change}: {entry}");
        let error = entry["error"].as_str().unwrap();
        assert!(error.contains("set otherwise meanwhile"), "{error}");
        assert_eq!(fleet.desired().await.unwrap(), Some(1));
        shutdown.cancel();
        serving.await.unwrap().unwrap();
    }
    fleet.shutdown().await;
}

#[tokio::test]
async fn it_is_carried_out_when_the_client_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 1).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let lock = taken(&api).await;
    for (path, body) in [
        ("/api/workers/scale", json!({"count": 2})),
        ("/api/v1/fleet/scale", json!({"count": 3})),
    ] {
        let before = entries(&api).await.len();
        tokio::select! {
            answer = api.post(path, body) => panic!("{}", answer.text()),
            begun = eventually("it has begun", async || {
                let begun = entries(&api).await.len();
                Ok(if begun > before { Ok(()) } else { Err(begun.to_string()) })
            }) => begun.unwrap(),
        }
    }
    lock.release().await.unwrap();
    let mut started: Vec<Value> = Vec::new();
    for entry in entries(&api).await {
        let entry = ended(&api, &entry["id"]).await;
        assert_eq!(entry["outcome"], "done");
        started.push(json!(steps(&entry)));
    }
    started.reverse();
    assert_eq!(
        started,
        [json!(["worker-2 started"]), json!(["worker-3 started"])]
    );
    fleet.shutdown().await;
}

/// What waits for its turn does not keep the API from stopping, and is refused.
#[tokio::test]
async fn an_api_that_stops_refuses_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 1).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let lock = taken(&api).await;
    let stop = async {
        until_waiting(api.pool(), 1).await.unwrap();
        api.shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(api.post("/api/workers/scale", json!({"count": 2})), stop);
    let detail = answer.problem(503)["detail"].clone();
    assert!(
        detail.as_str().unwrap().contains("shutting down"),
        "{detail}"
    );
    assert_eq!(fleet.desired().await.unwrap(), Some(1));
    lock.release().await.unwrap();
    fleet.shutdown().await;
}
