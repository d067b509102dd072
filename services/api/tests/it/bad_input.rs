//! Whatever body is not allowed gets a 4xx that names the field and what is allowed, and changes nothing.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::api::TestApi;

/// The answer must be a 400 whose first error is of `field` and says `what`.
pub(crate) fn refused(answer: &Answer, field: &str, what: &str, case: &str) {
    let problem = answer.problem(400);
    let error = &problem["errors"][0];
    assert_eq!(error["field"], field, "{case}: {problem}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(what), "{case}: {message}");
}

async fn nothing_was_stored(api: &TestApi) {
    assert_eq!(api.get("/api/stats").await.json(200)["total_tasks"], 0);
}

fn bad_tasks() -> Vec<(Value, &'static str, &'static str)> {
    let long = "x".repeat(65_537);
    vec![
        (json!({}), "command", "required"),
        (json!({"command": ""}), "command", "empty"),
        (json!({"command": " \n"}), "command", "empty"),
        (json!({"command": long}), "command", "65536 bytes"),
        (json!({"command": "a\0b"}), "command", "NUL"),
        (json!({"command": 7}), "command", "string"),
        (json!({"command": "a", "argv": ["a"]}), "argv", "not both"),
        (json!({"argv": []}), "argv", "program"),
        (json!({"argv": ["a", "b\0"]}), "argv[1]", "NUL"),
        (
            json!({"command": "a", "comand": "b"}),
            "comand",
            "unknown field",
        ),
        (
            json!({"command": "a", "scheduled_at": "tomorrow"}),
            "scheduled_at",
            "zone",
        ),
        (
            json!({"command": "a", "scheduled_at": "2026-01-23T10:00:00"}),
            "scheduled_at",
            "zone",
        ),
        (
            json!({"command": "a", "scheduled_at": "2026-02-30T10:00:00Z"}),
            "scheduled_at",
            "RFC 3339",
        ),
        (
            json!({"command": "a", "delay_seconds": -1}),
            "delay_seconds",
            "must be 0 to",
        ),
        (
            json!({"command": "a", "delay_seconds": 1, "scheduled_at": "2026-01-23T10:00:00Z"}),
            "delay_seconds",
            "not both",
        ),
        (
            json!({"command": "a", "priority": 101}),
            "priority",
            "-100 to 100",
        ),
        (
            json!({"command": "a", "priority": -101}),
            "priority",
            "-100 to 100",
        ),
        (
            json!({"command": "a", "priority": "high"}),
            "priority",
            "a whole number",
        ),
        (
            json!({"command": "a", "priority": 1.5}),
            "priority",
            "a whole number",
        ),
        (
            json!({"command": "a", "timeout_seconds": 0}),
            "timeout_seconds",
            "1 to 31536000",
        ),
        (
            json!({"command": "a", "max_attempts": 101}),
            "max_attempts",
            "1 to 100",
        ),
        (json!({"command": "a", "env": {"A=B": "x"}}), "env", "'='"),
        (json!({"command": "a", "env": {"A": "x\0"}}), "env.A", "NUL"),
        (
            json!({"command": "a", "env": {"TASKMASTER_TASK_ID": "x"}}),
            "env.TASKMASTER_TASK_ID",
            "reserved",
        ),
        (json!({"command": "a", "stdin": "x\0"}), "stdin", "NUL"),
        (
            json!({"command": "a", "executor": "docker"}),
            "executor",
            "process",
        ),
        (
            json!({"command": "a", "simulate": {"run_ms": 1}}),
            "simulate",
            "executor",
        ),
        (json!("date"), "body", "object"),
        (json!(null), "body", "object"),
    ]
}

#[tokio::test]
async fn tasks_that_are_not_valid() {
    let api = TestApi::start().await;
    for (task, field, what) in bad_tasks() {
        let case: String = task.to_string().chars().take(100).collect();
        for path in ["/api/schedule", "/api/v1/tasks"] {
            refused(&api.post(path, task.clone()).await, field, what, &case);
        }
        let batch = vec![json!({"command": "date"}), task];
        let field = match field {
            "body" => "[1]".to_owned(),
            field => format!("[1].{field}"),
        };
        refused(&api.post("/api/v1/tasks", batch).await, &field, what, &case);
    }
    nothing_was_stored(&api).await;
}

#[tokio::test]
async fn every_error_is_named() {
    let api = TestApi::start().await;
    let tasks = json!([{"command": "", "priority": 1000}, {"command": "a"}, {"command": "b", "max_attempts": 0}]);
    let problem = api.post("/api/v1/tasks", tasks).await.problem(400);
    let fields = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| &error["field"]);
    let fields: Vec<_> = fields.collect();
    assert_eq!(fields, ["[0].command", "[0].priority", "[2].max_attempts"]);
}

#[tokio::test]
async fn batches_that_are_not_valid() {
    let api = TestApi::start().await;
    let batch = |n| vec![json!({"command": "date"}); n];
    let answer = api.post("/api/v1/tasks", batch(1001)).await;
    refused(&answer, "body", "1 to 1000", "1001");
    refused(
        &api.post("/api/v1/tasks", batch(0)).await,
        "body",
        "1 to 1000",
        "0",
    );
    refused(
        &api.post("/api/schedule", batch(2)).await,
        "body",
        "object",
        "array",
    );
    nothing_was_stored(&api).await;
}

#[tokio::test]
async fn bodies_that_are_no_json() {
    let api = TestApi::start().await;
    for body in [
        "",
        "{",
        "{\"command\": \"date\"",
        "{'command': 'date'}",
        "command=date",
        "{\"command\":\"\\ud800\"}",
    ] {
        for path in [
            "/api/schedule",
            "/api/v1/tasks",
            "/api/workers/scale",
            "/api/workers/kill",
        ] {
            refused(&api.post_text(path, body).await, "body", "valid JSON", body);
        }
    }
    let bytes = b"{\"command\": \"\xff\"}".to_vec();
    refused(
        &api.post_text("/api/schedule", bytes).await,
        "body",
        "valid JSON",
        "no UTF-8",
    );
    let deep = "[".repeat(100_000);
    refused(
        &api.post_text("/api/v1/tasks", deep).await,
        "body",
        "valid JSON",
        "deep",
    );
    nothing_was_stored(&api).await;
}

#[tokio::test]
async fn a_body_over_the_limit() {
    let api = TestApi::start().await;
    let long = " ".repeat(32 * 1024 * 1024 + 1);
    let problem = api.post_text("/api/v1/tasks", long).await.problem(413);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("33554432 bytes")
    );
}

#[tokio::test]
async fn another_content_type() {
    let api = TestApi::start().await;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
    ] {
        let request = Request::post("/api/schedule")
            .header("host", "localhost")
            .header("content-type", content_type);
        let answer = api
            .send(request.body(Body::from("{\"command\":\"date\"}")).unwrap())
            .await;
        let problem = answer.problem(415);
        assert!(
            problem["detail"]
                .as_str()
                .unwrap()
                .contains("application/json")
        );
    }
    api.ask("/api/schedule").await.problem(415);
    nothing_was_stored(&api).await;
}
