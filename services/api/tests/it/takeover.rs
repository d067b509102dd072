//! What an API leaves unfinished, the next one takes over.

use std::sync::Arc;

use serde_json::{Value, json};
use taskmaster_api::{bind, serve};
use taskmaster_fleet::Fleet;
use taskmaster_store::audit::{self, New, NewStep};
use taskmaster_testkit::eventually;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::answer::PATIENCE;
use crate::api::TestApi;
use crate::audit::{ended, entries};
use crate::fleet::{fleet, fleet_of, until_ready};

/// An operation whose API has died when all was decided, after these steps.
async fn left(api: &TestApi, fleet: &str, steps: &[(&str, &str)]) -> Value {
    let id = left_undecided(api, fleet, steps).await;
    audit::decided(api.pool(), id).await.unwrap();
    audit::release(api.pool(), id).await.unwrap();
    json!(id)
}

/// One whose API has died in the midst of it.
async fn left_undecided(api: &TestApi, fleet: &str, steps: &[(&str, &str)]) -> Uuid {
    let id = Uuid::now_v7();
    let new = New {
        id,
        caller: "somebody",
        action: "fleet.scale",
        fleet,
        request: &json!({"count": 1}),
        reason: None,
    };
    audit::begin(api.pool(), &new).await.unwrap();
    let steps: Vec<NewStep> = steps
        .iter()
        .map(|(name, kind)| NewStep {
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            reason: None,
        })
        .collect();
    audit::append(api.pool(), id, 0, &steps).await.unwrap();
    audit::release(api.pool(), id).await.unwrap();
    id
}

#[tokio::test]
async fn an_api_that_starts_ends_what_was_left_of_its_kind_of_fleet() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 2).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let went = left(&api, "processes", &[("worker-1", "draining")]).await;
    let started = left(&api, "processes", &[("worker-3", "created")]).await;
    let nothing = left(&api, "processes", &[]).await;
    let growing = left_undecided(&api, "processes", &[("worker-3", "started")]).await;
    let growing = json!(growing);
    let of_others = left(&api, "docker", &[("worker-1", "draining")]).await;

    let listener = bind(&api.config).await.unwrap();
    let shutdown = CancellationToken::new();
    let shared = Arc::new(fleet.clone());
    let serving = serve(api.config.clone(), listener, shared, shutdown.clone());
    let serving = tokio::spawn(serving);
    for (id, outcome) in [
        (&went, "done"),
        (&started, "partial"),
        (&growing, "partial"),
        (&nothing, "failed"),
    ] {
        assert_eq!(ended(&api, id).await["outcome"], outcome);
    }
    shutdown.cancel();
    serving.await.unwrap().unwrap();
    let other = api
        .get(&format!("/api/v1/audit/{}", of_others.as_str().unwrap()))
        .await;
    assert_eq!(other.json(200)["outcome"], Value::Null);
    // A process of that name has nothing to do with the one that was told to go.
    let members = fleet.workers().await.unwrap();
    assert!(members.iter().all(|member| member.state.is_wanted()));
    assert_eq!(members.len(), 2);
    fleet.shutdown().await;
}

#[tokio::test]
async fn an_api_that_stops_leaves_what_drains_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    // Told to go, they go on, until they are killed.
    let here = folder.path().display();
    let script = format!("trap '' TERM; touch {here}/$3.ready; while :; do sleep 0.1; done");
    let fleet = fleet_of(&folder, &script, 2).await;
    until_ready(&folder, "worker-2").await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let scaled = api
        .post("/api/workers/scale", json!({"count": 1}))
        .await
        .json(200);
    assert_eq!(scaled["draining"], json!(["worker-2"]));
    assert_eq!(entries(&api).await[0]["outcome"], Value::Null);
    api.shutdown.cancel();
    let adopted = eventually("it can be taken over", async || {
        let adopted = audit::adopt(api.pool(), "processes").await?;
        Ok(if adopted.is_empty() {
            Err("nothing".to_owned())
        } else {
            Ok(adopted)
        })
    })
    .await
    .unwrap();
    assert_eq!(json!(adopted[0].id), scaled["operation_id"]);
    assert_eq!((adopted.len(), adopted[0].steps.len()), (1, 1));
    let Fleet::Processes(processes) = &fleet else {
        unreachable!()
    };
    tokio::time::timeout(PATIENCE, processes.shutdown())
        .await
        .unwrap();
}
