//! Addresses, ids and parameters that are not there or not allowed; fleets that cannot be.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::api::TestApi;
use crate::bad_input::refused;

const NOBODY: &str = "0190f5c2-6b1e-7d3c-9a70-3f2f6f1f8a55";

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
    for (query, field, what) in [
        ("limit=0", "limit", "1 to 200"),
        ("limit=201", "limit", "1 to 200"),
        ("cursor=zzz", "cursor", "next_cursor"),
        ("action=x", "action", "cursor, limit"),
    ] {
        let answer = api.get(&format!("/api/v1/audit?{query}")).await;
        refused(&answer, field, what, query);
    }
    refused(&api.get("/api/v1/audit/x").await, "id", "UUID", "x");
    api.get(&format!("/api/v1/audit/{NOBODY}"))
        .await
        .problem(404);
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
