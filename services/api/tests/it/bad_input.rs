//! Whatever is not allowed gets a 4xx that names the field and what is allowed, and changes nothing.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::api::TestApi;

const NOBODY: &str = "0190f5c2-6b1e-7d3c-9a70-3f2f6f1f8a55";

/// The answer must be a 400 whose first error is of `field` and says `what`.
fn refused(answer: &Answer, field: &str, what: &str, case: &str) {
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
            "invalid type",
        ),
        (
            json!({"command": "a", "priority": 1.5}),
            "priority",
            "invalid type",
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

#[tokio::test]
async fn ids_that_are_none_and_ids_of_nobody() {
    let api = TestApi::start().await;
    let gets = ["", "/attempts", "/output", "/output/stream"];
    let posts = ["/cancel", "/retry"];
    for bad in ["7", "x", "%ff", "%00", "..%2f..", &NOBODY[1..]] {
        refused(
            &api.get(&format!("/api/status?task_id={bad}")).await,
            "task_id",
            "UUID",
            bad,
        );
        for tail in gets {
            refused(
                &api.get(&format!("/api/v1/tasks/{bad}{tail}")).await,
                "id",
                "UUID",
                bad,
            );
        }
        for tail in posts {
            refused(
                &api.ask(&format!("/api/v1/tasks/{bad}{tail}")).await,
                "id",
                "UUID",
                bad,
            );
        }
    }
    let mut unknown = vec![api.get(&format!("/api/status?task_id={NOBODY}")).await];
    for tail in gets {
        unknown.push(api.get(&format!("/api/v1/tasks/{NOBODY}{tail}")).await);
    }
    for tail in posts {
        unknown.push(api.ask(&format!("/api/v1/tasks/{NOBODY}{tail}")).await);
    }
    for answer in unknown {
        let problem = answer.problem(404);
        assert!(problem["detail"].as_str().unwrap().contains(NOBODY));
    }
}

#[tokio::test]
async fn parameters_that_are_not_valid() {
    let api = TestApi::start().await;
    for (query, field, what) in [
        ("limit=0", "limit", "1 to 1000"),
        ("limit=1001", "limit", "1 to 1000"),
        ("limit=-1", "limit", "1 to 1000"),
        ("limit=ten", "limit", "1 to 1000"),
        ("limit=1&limit=2", "limit", "once"),
        ("status=done", "status", "scheduled, assigned, running"),
        ("status=running,", "status", "scheduled, assigned, running"),
        ("worker=%3B%20rm%20-rf%20%2F", "worker", "63 letters"),
        ("q=a%00b", "q", "NUL"),
        ("cursor=zzz", "cursor", "next_cursor"),
        (
            "cursor=0190f5c2-6b1e-7d3c-9a70-3f2f6f1f8a55",
            "cursor",
            "next_cursor",
        ),
        ("state=running", "state", "status, worker, q, cursor, limit"),
    ] {
        for path in ["/api/tasks", "/api/v1/tasks"] {
            refused(
                &api.get(&format!("{path}?{query}")).await,
                field,
                what,
                query,
            );
        }
    }
    refused(&api.get("/api/status").await, "task_id", "required", "none");
    for path in [
        "/api/stats",
        "/api/workers",
        "/api/v1/workers",
        "/api/v1/fleet",
        "/api/v1/events",
    ] {
        refused(
            &api.get(&format!("{path}?x=1")).await,
            "x",
            "no parameters",
            path,
        );
    }
    let id = api.submit(json!({"command": "date"})).await;
    for bad in ["0", "-1", "x", "4294967296"] {
        let path = format!("/api/v1/tasks/{id}/output?attempt={bad}");
        refused(&api.get(&path).await, "attempt", "1 to 2147483647", bad);
    }
}

#[tokio::test]
async fn fleets_that_cannot_be() {
    let api = TestApi::start().await;
    for count in [
        json!(0),
        json!(51),
        json!("3"),
        json!(-1),
        json!(3.5),
        json!(null),
        json!(1e300),
    ] {
        let answer = api
            .post("/api/workers/scale", json!({"count": count}))
            .await;
        refused(&answer, "count", "from 1 to 50", &count.to_string());
    }
    refused(
        &api.post("/api/workers/scale", json!({})).await,
        "count",
        "required",
        "{}",
    );
    refused(
        &api.post("/api/workers/scale", json!([3])).await,
        "body",
        "count",
        "[3]",
    );
    let more = json!({"count": 3, "force": true});
    refused(
        &api.post("/api/workers/scale", more).await,
        "force",
        "only count",
        "more",
    );
    for name in [
        "; rm -rf /",
        "",
        "a b",
        "-rm",
        "../x",
        "$(reboot)",
        "w\0",
        &"x".repeat(64),
    ] {
        let answer = api.post("/api/workers/kill", json!({"name": name})).await;
        refused(&answer, "name", "1 to 63 letters", name);
    }
    refused(
        &api.post("/api/workers/kill", json!({"name": 7})).await,
        "name",
        "string",
        "7",
    );
    refused(
        &api.post("/api/workers/kill", json!({})).await,
        "name",
        "required",
        "{}",
    );
}

#[tokio::test]
async fn addresses_and_methods_that_are_not_there() {
    let api = TestApi::start().await;
    for path in [
        "/api",
        "/api/",
        "/api/nope",
        "/api/v1",
        "/api/v1/tasks/",
        "/api/v2/tasks",
        "/api/docs/nope",
    ] {
        let problem = api.get(path).await.problem(404);
        assert!(
            problem["detail"].as_str().unwrap().contains("/api/docs"),
            "{path}"
        );
    }
    let answer = api.get("/api/schedule").await;
    assert_eq!(answer.header("allow"), "POST");
    let problem = answer.problem(405);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("GET is not possible"), "{detail}");
    let delete = Request::delete(format!("/api/v1/tasks/{NOBODY}")).header("host", "localhost");
    let answer = api.send(delete.body(Body::empty()).unwrap()).await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), "GET,HEAD");
    api.ask("/").await.problem(405);
}
