//! Cancel and retry: from each state, what is done or refused.

use serde_json::{Value, json};

use crate::api::TestApi;
use crate::stand_in::StandIn;

#[tokio::test]
async fn cancel_ends_what_has_not_started() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "date"})).await;
    let task = api
        .ask(&format!("/api/v1/tasks/{id}/cancel"))
        .await
        .json(200);
    assert_eq!(task["status"], "cancelled");
    assert!(task["cancelled_at"].is_string());
    assert_eq!(task["finished_at"], task["cancelled_at"]);

    let id = api.submit(json!({"command": "date"})).await;
    StandIn::register(api.pool(), "worker-1")
        .await
        .claim()
        .await;
    let task = api
        .ask(&format!("/api/v1/tasks/{id}/cancel"))
        .await
        .json(200);
    assert_eq!(task["status"], "cancelled");
    assert_eq!(api.get("/api/stats").await.json(200)["cancelled_tasks"], 2);
}

#[tokio::test]
async fn cancel_asks_the_worker_of_what_runs_even_without_rabbitmq() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "sleep 9"})).await;
    StandIn::register(api.pool(), "worker-1")
        .await
        .start()
        .await;
    let path = format!("/api/v1/tasks/{id}/cancel");
    let task = api.ask(&path).await.json(200);
    assert_eq!(task["status"], "running");
    assert!(task["cancel_requested_at"].is_string());
    let again = api.ask(&path).await.json(200);
    assert_eq!(again["cancel_requested_at"], task["cancel_requested_at"]);
}

#[tokio::test]
async fn cancel_is_refused_once_it_has_ended() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "date"})).await;
    let worker = StandIn::register(api.pool(), "worker-1").await;
    let task = worker.start().await;
    worker.complete(task).await;
    let before = api.get(&format!("/api/v1/tasks/{id}")).await.json(200);
    let problem = api
        .ask(&format!("/api/v1/tasks/{id}/cancel"))
        .await
        .problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("completed"));
    assert_eq!(
        api.get(&format!("/api/v1/tasks/{id}")).await.json(200),
        before
    );
}

#[tokio::test]
async fn retry_runs_what_failed_again_and_keeps_its_history() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "exit 3"})).await;
    let worker = StandIn::register(api.pool(), "worker-1").await;
    let task = worker.start().await;
    worker.fail(task).await;
    let retry = format!("/api/v1/tasks/{id}/retry");
    let again = api.ask(&retry).await.json(200);
    assert_eq!(again["status"], "scheduled");
    assert_eq!(
        (&again["attempt"], &again["max_attempts"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(again["failed_at"], Value::Null);

    let problem = api.ask(&retry).await.problem(409);
    assert!(problem["detail"].as_str().unwrap().contains("scheduled"));
    let task = worker.start().await;
    api.ask(&retry).await.problem(409);
    worker.complete(task).await;
    api.ask(&retry).await.problem(409);

    let attempts = api
        .get(&format!("/api/v1/tasks/{id}/attempts"))
        .await
        .json(200);
    let outcomes = attempts["attempts"].as_array().unwrap().iter();
    let outcomes: Vec<_> = outcomes.map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["failed", "completed"]);
}

#[tokio::test]
async fn retry_takes_up_what_was_cancelled() {
    let api = TestApi::start().await;
    let id = api
        .submit(json!({"command": "date", "delay_seconds": 3600}))
        .await;
    api.ask(&format!("/api/v1/tasks/{id}/cancel"))
        .await
        .json(200);
    let task = api
        .ask(&format!("/api/v1/tasks/{id}/retry"))
        .await
        .json(200);
    assert_eq!(task["status"], "scheduled");
    StandIn::register(api.pool(), "worker-1")
        .await
        .start()
        .await;
}
