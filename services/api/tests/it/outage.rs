//! Without Postgres every answer is a clear 503 that gives nothing away; without RabbitMQ almost everything works.

use serde_json::json;
use taskmaster_testkit::until_waiting;

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
    assert_eq!(ready.header("retry-after"), "1");
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

/// Every connection is busy with a statement that waits.
#[tokio::test]
async fn without_a_connection_to_postgres_that_is_free() {
    let api = TestApi::start().await;
    let mut holder = api.pool().begin().await.unwrap();
    taskmaster_testkit::sqlx::query("lock table tasks in exclusive mode")
        .execute(&mut *holder)
        .await
        .unwrap();
    let submit = || api.post("/api/v1/tasks", json!({"command": "date"}));
    let one_too_many = async {
        until_waiting(api.pool(), 5).await.unwrap();
        let answer = submit().await;
        holder.commit().await.unwrap();
        answer
    };
    let (a, b, c, d, e, refused) = tokio::join!(
        submit(),
        submit(),
        submit(),
        submit(),
        submit(),
        one_too_many
    );
    refused.problem(503);
    assert_eq!(refused.header("retry-after"), "1");
    for answer in [a, b, c, d, e] {
        answer.json(201);
        assert_eq!(answer.header("retry-after"), "");
    }
}
