//! Without Postgres every answer is a clear 503 that gives nothing away; without RabbitMQ almost everything works.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use taskmaster_testkit::until_waiting;
use tokio::time::timeout;

use crate::answer::Answer;
use crate::api::TestApi;
use crate::idempotency::post;

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

/// Longer than it takes to give up waiting for a connection.
const NO_CONNECTION: Duration = Duration::from_secs(8);
/// Longer than it takes to give up waiting for a statement.
const NO_ANSWER: Duration = Duration::from_secs(18);

/// A 503 that says when to ask again, and came within that time.
async fn assert_refused(within: Duration, asked: impl Future<Output = Answer>) {
    let answer = timeout(within, asked).await.expect("it hangs");
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), "1");
}

/// Every connection is busy with a statement that waits: who needs one is refused, and the statements are given up.
#[tokio::test]
async fn without_a_connection_to_postgres_that_is_free() {
    let api = TestApi::with_rabbitmq().await;
    let waiting = api.submit(json!({"command": "date"})).await;
    let mut holder = api.pool().begin().await.unwrap();
    taskmaster_testkit::sqlx::query("lock table tasks in exclusive mode")
        .execute(&mut *holder)
        .await
        .unwrap();
    let task = || json!({"command": "date"});
    let path = format!("/api/v1/tasks/{waiting}");
    let cancel = format!("{path}/cancel");
    let with_key = async |n| post(&api, "/api/v1/tasks", &format!("key-{n}"), &task()).await;
    // One submission is being committed, and the others wait for their turn; each cancel has a connection of its own.
    let submissions = join_all((0..5).map(|n| assert_refused(NO_ANSWER, with_key(n))));
    let cancels = join_all((0..4).map(|_| assert_refused(NO_ANSWER, api.ask(&cancel))));
    let one_too_many = async {
        until_waiting(api.pool(), 5).await.unwrap();
        let ready = async {
            let answer = timeout(NO_CONNECTION, api.get("/readyz")).await;
            let answer = answer.expect("it hangs");
            assert_eq!(answer.header("retry-after"), "1");
            let expected = json!({"postgres": "does not answer", "rabbitmq": "ok"});
            assert_eq!(answer.json(503), expected);
        };
        tokio::join!(
            assert_refused(NO_CONNECTION, api.post("/api/v1/tasks", task())),
            assert_refused(NO_CONNECTION, api.post("/api/schedule", task())),
            assert_refused(NO_CONNECTION, api.ask(&cancel)),
            assert_refused(NO_CONNECTION, api.get(&path)),
            assert_refused(NO_CONNECTION, api.get("/api/v1/tasks")),
            assert_refused(NO_CONNECTION, api.get("/api/v1/workers")),
            assert_refused(NO_CONNECTION, api.get("/api/stats")),
            ready,
        );
        api.get("/healthz").await.json(200);
    };
    tokio::join!(submissions, cancels, one_too_many);
    holder.commit().await.unwrap();

    // Of what was given up it was not known whether it was stored. Asked again, it is, and once.
    for n in 0..5 {
        with_key(n).await.json(201);
    }
    api.post("/api/v1/tasks", task()).await.json(201);
    api.get("/readyz").await.json(200);
    let stats = api.get("/api/stats").await.json(200);
    assert_eq!(stats["total_tasks"], 7);
}
