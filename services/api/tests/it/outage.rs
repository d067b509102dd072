//! Without Postgres every answer is a clear 503 that gives nothing away; without RabbitMQ almost everything works.

use serde_json::json;

use crate::api::TestApi;

#[tokio::test]
async fn without_postgres() {
    let api = TestApi::alone();
    let (submitted, scheduled, listed, counted, ready, alive, invalid) = tokio::join!(
        api.post("/api/v1/tasks", json!({"command": "date"})),
        api.post("/api/schedule", json!({"command": "date"})),
        api.get("/api/v1/tasks"),
        api.get("/api/stats"),
        api.get("/readyz"),
        api.get("/healthz"),
        api.post("/api/schedule", json!({"command": ""})),
    );
    for answer in [submitted, scheduled, listed, counted] {
        let problem = answer.problem(503);
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.starts_with("Postgres is not available; nothing was stored"),
            "{detail}"
        );
        assert_eq!(answer.header("retry-after"), "1");
        for secret in ["s3cret", "someone", "127.0.0.1"] {
            assert!(!answer.text().contains(secret), "{}", answer.text());
        }
    }
    assert_eq!(ready.status, 503);
    let ready = ready.json(503);
    assert_eq!(ready["rabbitmq"], "not available");
    assert_ne!(ready["postgres"], "ok");
    alive.json(200);
    invalid.problem(400);
}

#[tokio::test]
async fn without_rabbitmq() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "date"})).await;
    api.get(&format!("/api/v1/tasks/{id}")).await.json(200);
    let ready = api.get("/readyz").await.json(503);
    assert_eq!(
        ready,
        json!({"postgres": "ok", "rabbitmq": "not available"})
    );
}
