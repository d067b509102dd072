//! The original endpoints answer in exactly their shapes.

use serde_json::json;
use taskmaster_store::output::Stream;

use crate::api::TestApi;
use crate::shape::original_shape;
use crate::stand_in::StandIn;

#[tokio::test]
async fn schedule_answers_with_id_status_and_time() {
    let api = TestApi::start().await;
    let request = json!({
        "command": "process-data --input file.csv",
        "scheduled_at": "2024-01-23T10:00:00.000Z"
    });
    let scheduled = api.post("/api/schedule", request).await.json(201);
    assert_eq!(scheduled["scheduled_at"], "2024-01-23T10:00:00.000Z");
    insta::assert_json_snapshot!("schedule", original_shape(scheduled));
}

#[tokio::test]
async fn a_zone_is_understood() {
    let api = TestApi::start().await;
    let request = json!({"command": "date", "scheduled_at": "2024-01-23T11:30:00+01:30"});
    let scheduled = api.post("/api/schedule", request).await.json(201);
    assert_eq!(scheduled["scheduled_at"], "2024-01-23T10:00:00.000Z");
}

#[tokio::test]
async fn schedule_takes_all_that_v1_takes() {
    let api = TestApi::start().await;
    let request = json!({
        "argv": ["echo", "a b"], "delay_seconds": 60, "priority": 7, "timeout_seconds": 5, "max_attempts": 3,
        "env": {"A": "b"}, "stdin": "x",
    });
    let scheduled = api.post("/api/schedule", request).await.json(201);
    let path = format!("/api/v1/tasks/{}", scheduled["task_id"].as_str().unwrap());
    let task = api.get(&path).await.json(200);
    assert_eq!(task["argv"], json!(["echo", "a b"]));
    assert_eq!(task["command"], "echo 'a b'");
    assert_eq!(
        (
            &task["priority"],
            &task["timeout_seconds"],
            &task["max_attempts"],
            &task["stdin"]
        ),
        (&json!(7), &json!(5), &json!(3), &json!(true))
    );
}

#[tokio::test]
async fn status_of_a_task_that_runs() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "sleep 5"})).await;
    StandIn::register(api.pool(), "worker-1")
        .await
        .start()
        .await;
    let status = api
        .get(&format!("/api/status?task_id={id}"))
        .await
        .json(200);
    assert_eq!(status["task_id"], id);
    insta::assert_json_snapshot!("status_running", original_shape(status));
}

#[tokio::test]
async fn status_of_a_task_that_failed() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "exit 3"})).await;
    let worker = StandIn::register(api.pool(), "worker-1").await;
    let task = worker.start().await;
    worker.print(task, 0, Stream::Stderr, b"no").await;
    worker.fail(task).await;
    let status = api
        .get(&format!("/api/status?task_id={id}"))
        .await
        .json(200);
    insta::assert_json_snapshot!("status_failed", original_shape(status));
}

#[tokio::test]
async fn tasks_workers_and_stats() {
    let api = TestApi::start().await;
    for command in ["first", "second", "third"] {
        api.submit(json!({"command": command})).await;
    }
    let worker = StandIn::register(api.pool(), "worker-1").await;
    StandIn::register(api.pool(), "worker-2").await;
    let first = worker.start().await;
    worker.complete(first).await;
    worker.start().await;

    let tasks = api.get("/api/tasks").await.json(200);
    insta::assert_json_snapshot!("tasks", original_shape(tasks));
    let workers = api.get("/api/workers").await.json(200);
    insta::assert_json_snapshot!("workers", original_shape(workers));
    let stats = api.get("/api/stats").await.json(200);
    insta::assert_json_snapshot!("stats", original_shape(stats));
}
