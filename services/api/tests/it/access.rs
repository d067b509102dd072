//! Foreign pages can neither read nor act.

use axum::body::Body;
use axum::http::Request;

use crate::answer::Answer;
use crate::api::TestApi;

async fn schedule(api: &TestApi, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::post("/api/schedule").header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Body::from("{\"command\": \"date\"}");
    api.send(request.body(body).unwrap()).await
}

async fn get(api: &TestApi, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_host_that_is_not_ours() {
    let api = TestApi::start().await;
    for headers in [
        &[("host", "evil.example")][..],
        &[("host", "localhost.evil.example:8081")],
        &[("host", "localhost"), ("host", "evil.example")],
        &[("host", "")],
        &[],
    ] {
        schedule(&api, headers).await.problem(421);
        for path in [
            "/",
            "/api/tasks",
            "/api/v1/events",
            "/api/docs/",
            "/api/openapi.json",
            "/api/nope",
        ] {
            let problem = get(&api, path, headers).await.problem(421);
            assert!(
                problem["detail"].as_str().unwrap().starts_with("Host:"),
                "{path}"
            );
        }
    }
    let line = get(
        &api,
        "http://evil.example/api/tasks",
        &[("host", "localhost")],
    )
    .await;
    line.problem(421);
    assert_eq!(api.get("/api/stats").await.json(200)["total_tasks"], 0);
}

#[tokio::test]
async fn an_origin_that_is_not_ours() {
    let api = TestApi::start().await;
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "file://",
        "",
    ] {
        let headers = [("host", "localhost"), ("origin", origin)];
        schedule(&api, &headers).await.problem(403);
        for path in ["/api/tasks", "/api/v1/events"] {
            let answer = get(&api, path, &headers).await;
            let problem = answer.problem(403);
            assert!(
                problem["detail"].as_str().unwrap().starts_with("Origin:"),
                "{path}"
            );
            assert_eq!(answer.header("access-control-allow-origin"), "");
        }
    }
    assert_eq!(api.get("/api/stats").await.json(200)["total_tasks"], 0);
}

#[tokio::test]
async fn hosts_and_origins_that_are_ours() {
    let api = TestApi::start().await;
    for headers in [
        &[
            ("host", "127.0.0.1:8081"),
            ("origin", "http://127.0.0.1:8081"),
        ][..],
        &[
            ("host", "localhost:5173"),
            ("origin", "http://localhost:5173"),
        ],
        &[("host", "[::1]:8081")],
        &[
            ("host", "tasks.example.com"),
            ("origin", "https://tasks.example.com"),
        ],
    ] {
        schedule(&api, headers).await.json(201);
    }
}

#[tokio::test]
async fn a_preflight_allows_nothing() {
    let api = TestApi::start().await;
    let request = Request::options("/api/schedule")
        .header("host", "localhost")
        .header("access-control-request-method", "POST");
    let answer = api.send(request.body(Body::empty()).unwrap()).await;
    answer.problem(405);
    assert!(
        answer
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("access-control"))
    );
}

#[tokio::test]
async fn every_answer_tells_the_browser_what_not_to_do() {
    let api = TestApi::start().await;
    for path in ["/", "/api/stats", "/api/nope", "/api/docs/"] {
        let answer = api.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("script-src 'self';"), "{path}: {policy}");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
    }
    assert_eq!(
        api.get("/api/stats").await.header("cache-control"),
        "no-store"
    );
}
