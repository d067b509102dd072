//! `GET /api/v1/tasks/{id}/attempts` and `GET /api/v1/workers`: their shapes.

use serde_json::json;

use crate::api::TestApi;
use crate::shape::shape;
use crate::stand_in::StandIn;

#[tokio::test]
async fn attempts_oldest_first() {
    let api = TestApi::start().await;
    let id = api
        .submit(json!({"command": "exit 3", "max_attempts": 2}))
        .await;
    let path = format!("/api/v1/tasks/{id}/attempts");
    assert_eq!(api.get(&path).await.json(200), json!({"attempts": []}));
    let worker = StandIn::register(api.pool(), "worker-1").await;
    let task = worker.start().await;
    worker.fail_and_try_again(task).await;
    worker.start().await;
    insta::assert_json_snapshot!("attempts", shape(api.get(&path).await.json(200)));
}

#[tokio::test]
async fn workers_with_what_they_run() {
    let api = TestApi::start().await;
    assert_eq!(
        api.get("/api/v1/workers").await.json(200),
        json!({"workers": []})
    );
    api.submit(json!({"command": "sleep 9"})).await;
    StandIn::register(api.pool(), "worker-1")
        .await
        .start()
        .await;
    insta::assert_json_snapshot!(
        "v1_workers",
        shape(api.get("/api/v1/workers").await.json(200))
    );
}
