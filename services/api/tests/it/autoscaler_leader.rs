//! The API that leads the autoscaler: what it has begun when it stops, and who leads then.

use std::sync::Arc;

use serde_json::json;
use taskmaster_api::{bind, serve};
use taskmaster_fleet::Fleet;
use taskmaster_store::autoscaler::{self, Recorded};
use taskmaster_store::fleet_lock::FleetLock;
use taskmaster_testkit::eventually;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::answer::PATIENCE;
use crate::api::TestApi;
use crate::audit::entries;
use crate::fleet::fleet;

/// An API beside `api` that listens, and so decides; it ends when its token is cancelled.
async fn deciding(
    api: &TestApi,
    fleet: &Fleet,
) -> (CancellationToken, JoinHandle<anyhow::Result<()>>) {
    let mut config = api.config.clone();
    config.autoscale_interval = 1;
    let listener = bind(&config).await.unwrap();
    let shutdown = CancellationToken::new();
    let fleet = Arc::new(fleet.clone());
    let serving = tokio::spawn(serve(config, listener, fleet, shutdown.clone()));
    (shutdown, serving)
}

/// Waits for a decision of this kind about a fleet of so many.
async fn decided(api: &TestApi, kind: &str, from: i32) -> Recorded {
    eventually(&format!("{kind} of {from} is decided"), async || {
        let decisions = autoscaler::decisions(api.pool(), None, 100).await?;
        let told = format!("{decisions:?}");
        let mut found = decisions.into_iter();
        Ok(found
            .find(|it| it.kind == kind && it.from == from)
            .ok_or(told))
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_change_that_has_begun_is_recorded_by_an_api_that_stops() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 1).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let two = json!({"autoscaler": {"enabled": true, "min": 2}});
    api.put("/api/v1/fleet", two).await.json(200);
    // The change waits for its turn, and then for the workers, until the API is told to stop.
    let lock = FleetLock::acquire(&api.config.store, PATIENCE).await;
    let lock = lock.unwrap().unwrap();
    let (shutdown, serving) = deciding(&api, &fleet).await;
    eventually("it is begun", async || {
        let entries = entries(&api).await;
        let begun = entries
            .iter()
            .any(|entry| entry["action"] == "fleet.autoscale");
        Ok(if begun {
            Ok(())
        } else {
            Err(format!("{entries:?}"))
        })
    })
    .await
    .unwrap();
    let mut workers = api.pool().begin().await.unwrap();
    taskmaster_testkit::sqlx::query("lock table workers")
        .execute(&mut *workers)
        .await
        .unwrap();
    lock.release().await.unwrap();
    eventually("it has its turn", async || {
        let waits: bool = taskmaster_testkit::sqlx::query_scalar(
            "select exists (select from pg_locks where relation = 'workers'::regclass and not granted)",
        )
        .fetch_one(api.pool())
        .await?;
        Ok(if waits { Ok(()) } else { Err("nobody waits for the workers".to_owned()) })
    })
    .await
    .unwrap();
    shutdown.cancel();
    workers.commit().await.unwrap();
    serving.await.unwrap().unwrap();
    let decisions = autoscaler::decisions(api.pool(), None, 100).await.unwrap();
    let [decision] = &*decisions else {
        panic!("{decisions:?}")
    };
    assert_eq!((decision.from, decision.to, decision.applied), (1, 2, true));
    assert_eq!(fleet.workers().await.unwrap().len(), 2);
    fleet.shutdown().await;
}

#[tokio::test]
async fn one_api_decides_and_another_when_that_has_stopped() {
    let (one, three) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, three) = (fleet(&one, 1).await, fleet(&three, 3).await);
    let api = TestApi::with_fleet(one.clone()).await;
    let set = async |settings| {
        let settings = json!({ "autoscaler": settings });
        api.put("/api/v1/fleet", settings).await.json(200);
    };
    set(json!({"enabled": true, "dry_run": true})).await;
    let (stop_first, first) = deciding(&api, &one).await;
    decided(&api, "fits", 1).await;
    let (stop_second, second) = deciding(&api, &three).await;
    set(json!({"min": 2})).await;
    decided(&api, "below_min", 1).await;
    let seen = autoscaler::observe(api.pool(), 1, 60).await.unwrap();
    stop_first.cancel();
    first.await.unwrap().unwrap();
    // It begins to watch only now.
    let decision = decided(&api, "shrink_waits", 3).await;
    assert!(decision.at > seen.at, "both have decided: {decision:?}");
    assert!(decision.reason.ends_with("another 5 min"), "{decision:?}");
    stop_second.cancel();
    second.await.unwrap().unwrap();
    one.shutdown().await;
    three.shutdown().await;
}
