//! `GET /api/v1/events`, through a real RabbitMQ.

use serde_json::json;
use taskmaster_broker::{EventPublisher, WorkerEvent};
use tokio_util::sync::CancellationToken;

use crate::api::TestApi;

#[tokio::test]
async fn changes_are_told_as_they_happen() {
    let api = TestApi::with_rabbitmq().await;
    let mut events = api.follow("/api/v1/events").await;
    events.until_live().await;

    let id = api
        .submit(json!({"command": "date", "delay_seconds": 3600}))
        .await;
    let expected =
        json!({"tasks": [{"id": id, "status": "scheduled", "assigned_worker_name": null}]});
    assert_eq!(events.next_named("tasks").await, expected);
    api.ask(&format!("/api/v1/tasks/{id}/cancel"))
        .await
        .json(200);
    assert_eq!(
        events.next_named("tasks").await["tasks"][0]["status"],
        "cancelled"
    );
    api.ask(&format!("/api/v1/tasks/{id}/retry"))
        .await
        .json(200);
    assert_eq!(
        events.next_named("tasks").await["tasks"][0]["status"],
        "scheduled"
    );

    let worker = EventPublisher::spawn(
        api.config.broker.clone(),
        "a worker",
        CancellationToken::new(),
    );
    worker.worker(WorkerEvent {
        name: "worker-1".to_owned(),
        status: "draining".to_owned(),
    });
    let expected = json!({"workers": [{"name": "worker-1", "status": "draining"}]});
    assert_eq!(events.next_named("workers").await, expected);
}

#[tokio::test]
async fn a_batch_is_few_events() {
    let api = TestApi::with_rabbitmq().await;
    let mut events = api.follow("/api/v1/events").await;
    events.until_live().await;
    let tasks = vec![json!({"command": "date", "delay_seconds": 3600}); 1000];
    api.post("/api/v1/tasks", tasks).await.json(201);
    let mut told = Vec::new();
    while told.len() < 1000 {
        let tasks = events.next_named("tasks").await;
        told.push(tasks["tasks"].as_array().unwrap().len());
        assert!(told.len() <= 10, "{told:?}");
        if told.iter().sum::<usize>() == 1000 {
            return;
        }
    }
}

#[tokio::test]
async fn streams_end_when_the_api_stops() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "date"})).await;
    let mut events = api.follow("/api/v1/events").await;
    let mut output = api
        .follow(&format!("/api/v1/tasks/{id}/output/stream"))
        .await;
    // There is no RabbitMQ here.
    assert_eq!(events.next_named("lost").await, json!({}));
    api.shutdown.cancel();
    assert_eq!(events.next().await, None);
    assert_eq!(output.next().await, None);
}

#[tokio::test]
async fn ready_when_both_answer() {
    let api = TestApi::with_rabbitmq().await;
    let ready = api.get("/readyz").await.json(200);
    assert_eq!(ready, json!({"postgres": "ok", "rabbitmq": "ok"}));
    assert_eq!(api.get("/healthz").await.json(200), json!({"status": "ok"}));
}
