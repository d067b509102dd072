//! `POST /api/v1/tasks`: what is stored, what comes back.

use serde_json::json;

use crate::api::TestApi;
use crate::shape::shape;

#[tokio::test]
async fn one_task_comes_back_whole() {
    let api = TestApi::start().await;
    let answer = api.post("/api/v1/tasks", json!({"command": "date"})).await;
    let task = answer.json(201);
    let path = format!("/api/v1/tasks/{}", task["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), path);
    assert_eq!(api.get(&path).await.json(200), task);
    insta::assert_json_snapshot!("task", shape(task));
}

#[tokio::test]
async fn everything_that_was_given_is_kept() {
    let api = TestApi::start().await;
    let given = json!({
        "command": "cat", "scheduled_at": "2030-01-01T00:00:00.123456Z", "priority": -100, "timeout_seconds": 31536000,
        "max_attempts": 100, "env": {"A": "1", "B": ""}, "stdin": "hello", "executor": "simulate",
        "simulate": {"wait_ms": 0, "run_ms": 0, "fail": true},
    });
    let task = api.post("/api/v1/tasks", given.clone()).await.json(201);
    for field in [
        "command",
        "scheduled_at",
        "priority",
        "timeout_seconds",
        "max_attempts",
        "env",
        "executor",
    ] {
        assert_eq!(task[field], given[field], "{field}");
    }
    let path = format!("/api/v1/tasks/{}", task["id"].as_str().unwrap());
    assert_eq!(api.get(&path).await.json(200), task);
}

#[tokio::test]
async fn a_thousand_come_back_in_their_order() {
    let api = TestApi::start().await;
    let tasks: Vec<_> = (0..1000)
        .map(|n| json!({"command": format!("echo {n}")}))
        .collect();
    let stored = api.post("/api/v1/tasks", tasks).await.json(201);
    let stored = stored["tasks"].as_array().unwrap();
    assert_eq!(stored.len(), 1000);
    for (n, task) in stored.iter().enumerate() {
        assert_eq!(task["command"], format!("echo {n}"));
    }
    assert_eq!(api.get("/api/stats").await.json(200)["total_tasks"], 1000);
}

#[tokio::test]
async fn text_of_any_kind_is_kept_as_it_is() {
    let api = TestApi::start().await;
    let command = "echo 'ä € 😀' \"$(x)\" \\ % _ \u{7f} \n\t <script>";
    let id = api.submit(json!({"command": command})).await;
    let task = api.get(&format!("/api/v1/tasks/{id}")).await.json(200);
    assert_eq!(task["command"], command);
    let longest = "x".repeat(65_536);
    api.submit(json!({"command": longest})).await;
}
