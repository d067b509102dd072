//! `Idempotency-Key`: however often a request is sent under the same key, it is carried out once.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use taskmaster_testkit::until_waiting;

use crate::answer::Answer;
use crate::api::TestApi;
use crate::bad_input::refused;
use crate::stand_in::StandIn;

const PATHS: [&str; 2] = ["/api/v1/tasks", "/api/schedule"];

fn request(path: &str, keys: &[&[u8]], body: impl Into<Body>) -> Request<Body> {
    let mut request = Request::post(path)
        .header("host", "localhost")
        .header("content-type", "application/json");
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    request.body(body.into()).unwrap()
}

pub(crate) async fn post(api: &TestApi, path: &str, key: &str, body: &Value) -> Answer {
    api.send(request(path, &[key.as_bytes()], body.to_string()))
        .await
}

async fn total(api: &TestApi) -> Value {
    api.get("/api/stats").await.json(200)["total_tasks"].clone()
}

fn ids(tasks: &Value) -> Vec<&Value> {
    let tasks = tasks["tasks"].as_array().unwrap();
    tasks.iter().map(|task| &task["id"]).collect()
}

#[tokio::test]
async fn the_same_again_gets_the_first_answer_however_it_is_written() {
    let api = TestApi::start().await;
    let first = r#"{"command": "date", "env": {"A": "1", "B": "2"}, "priority": 0}"#;
    let first = api
        .send(request(PATHS[0], &[b"key-1"], first.to_owned()))
        .await;
    let task = first.json(201);
    assert_eq!(first.header("idempotent-replayed"), "");
    for again in [
        r#"{"command": "date", "env": {"A": "1", "B": "2"}, "priority": 0}"#,
        r#"{ "env":{"B":"2", "A":"1"},
             "command":"date" }"#,
    ] {
        let again = api
            .send(request(PATHS[0], &[b"key-1"], again.to_owned()))
            .await;
        assert_eq!(again.json(201), task);
        assert_eq!(again.header("idempotent-replayed"), "true");
        assert_eq!(again.header("location"), first.header("location"));
    }
    assert_eq!(total(&api).await, 1);
}

#[tokio::test]
async fn also_when_the_task_has_ended() {
    let api = TestApi::start().await;
    let worker = StandIn::register(api.pool(), "worker-1").await;
    for (path, id) in [(PATHS[0], "id"), (PATHS[1], "task_id")] {
        let body = json!({"command": path});
        let first = post(&api, path, path, &body).await.json(201);
        let lease = worker.start().await;
        worker.complete(lease).await;
        let again = post(&api, path, path, &body).await;
        assert_eq!(again.header("idempotent-replayed"), "true");
        let again = again.json(201);
        assert_eq!(again[id], first[id]);
        assert_eq!(again["status"], "completed", "as it is now");
        assert_eq!(again["scheduled_at"], first["scheduled_at"]);
    }
    assert_eq!(total(&api).await, 2);
}

#[tokio::test]
async fn one_key_is_for_the_whole_array() {
    let api = TestApi::start().await;
    let tasks: Vec<Value> = (0..1000)
        .map(|n| json!({"command": format!("echo {n}")}))
        .collect();
    let mut body = Value::from(tasks);
    let first = post(&api, PATHS[0], "many", &body).await.json(201);
    let again = post(&api, PATHS[0], "many", &body).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    let again = again.json(201);
    assert_eq!(ids(&again), ids(&first));
    assert_eq!(again, first, "in the same order");

    body.as_array_mut().unwrap().pop();
    post(&api, PATHS[0], "many", &body).await.problem(409);
    assert_eq!(total(&api).await, 1000);
}

#[tokio::test]
async fn the_original_endpoint_knows_the_same_keys() {
    let api = TestApi::start().await;
    let body = json!({"command": "date", "scheduled_at": "2024-01-23T10:00:00.000Z"});
    let first = post(&api, PATHS[1], "key", &body).await;
    assert_eq!(first.header("idempotent-replayed"), "");
    let first = first.json(201);
    let again = post(&api, PATHS[1], "key", &body).await;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json(201), first);
    let over_v1 = post(&api, PATHS[0], "key", &body).await;
    assert_eq!(over_v1.header("idempotent-replayed"), "true");
    assert_eq!(over_v1.json(201)["id"], first["task_id"]);
    assert_eq!(total(&api).await, 1);
}

#[tokio::test]
async fn other_content_is_a_conflict_that_says_what_to_do() {
    let api = TestApi::start().await;
    post(&api, PATHS[0], "key", &json!({"command": "date"}))
        .await
        .json(201);
    for other in [
        json!({"command": "date", "priority": 1}),
        json!({"command": "uptime"}),
        json!({"command": "date", "delay_seconds": 5}),
    ] {
        for path in PATHS {
            let problem = post(&api, path, "key", &other).await.problem(409);
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.starts_with("Idempotency-Key: "), "{detail}");
            assert!(detail.contains("use a key of its own"), "{detail}");
        }
    }
    assert_eq!(total(&api).await, 1);
}

#[tokio::test]
async fn a_key_that_is_none() {
    let api = TestApi::start().await;
    let body = r#"{"command": "date"}"#;
    let long = "x".repeat(256);
    for key in [
        b"".as_slice(),
        b" ",
        b"a b",
        b"a\tb",
        "schlüssel".as_bytes(),
        b"\xff",
        long.as_bytes(),
    ] {
        for path in PATHS {
            let answer = api.send(request(path, &[key], body)).await;
            let case = String::from_utf8_lossy(key);
            refused(&answer, "Idempotency-Key", "1 to 255 visible ASCII", &case);
        }
    }
    for path in PATHS {
        let answer = api.send(request(path, &[b"a", b"a"], body)).await;
        refused(&answer, "Idempotency-Key", "once", "twice");
    }
    assert_eq!(total(&api).await, 0);
    let longest = "!".repeat(255);
    api.send(request(PATHS[0], &[longest.as_bytes()], body))
        .await
        .json(201);
}

#[tokio::test]
async fn what_was_refused_does_not_use_up_its_key() {
    let api = TestApi::start().await;
    post(&api, PATHS[0], "key", &json!({"command": ""}))
        .await
        .problem(400);
    let right = post(&api, PATHS[0], "key", &json!({"command": "date"})).await;
    assert_eq!(right.header("idempotent-replayed"), "");
    right.json(201);
}

#[tokio::test]
async fn of_many_at_once_one_is_carried_out() {
    let api = TestApi::start().await;
    let body = json!([{"command": "first"}, {"command": "second"}]);
    let (a, b, c, d, e) = tokio::join!(
        post(&api, PATHS[0], "key", &body),
        post(&api, PATHS[0], "key", &body),
        post(&api, PATHS[0], "key", &body),
        post(&api, PATHS[0], "key", &body),
        post(&api, PATHS[0], "key", &body),
    );
    let expected = a.json(201);
    let mut first = 0;
    for answer in [a, b, c, d, e] {
        assert_eq!(ids(&answer.json(201)), ids(&expected));
        first += usize::from(answer.header("idempotent-replayed") != "true");
    }
    assert_eq!(first, 1);
    assert_eq!(total(&api).await, 2);
}

/// The client goes away while Postgres is at it; whatever became of that, the second try makes it exactly one.
#[tokio::test]
async fn when_nobody_heard_the_first_answer() {
    let api = std::sync::Arc::new(TestApi::start().await);
    let body = json!({"command": "date"});
    let mut holder = api.pool().begin().await.unwrap();
    taskmaster_testkit::sqlx::query("lock table tasks in exclusive mode")
        .execute(&mut *holder)
        .await
        .unwrap();
    let unheard = tokio::spawn({
        let (api, body) = (api.clone(), body.clone());
        async move { post(&api, PATHS[0], "key", &body).await }
    });
    until_waiting(api.pool(), 1).await.unwrap();
    unheard.abort();
    assert!(unheard.await.is_err_and(|error| error.is_cancelled()));
    holder.commit().await.unwrap();
    let first = post(&api, PATHS[0], "key", &body).await.json(201);
    let again = post(&api, PATHS[0], "key", &body).await.json(201);
    assert_eq!(again["id"], first["id"]);
    assert_eq!(total(&api).await, 1);
}

#[tokio::test]
async fn what_has_been_deleted_is_not_made_up() {
    let api = TestApi::start().await;
    let body = json!([{"command": "first"}, {"command": "second"}]);
    post(&api, PATHS[0], "key", &body).await.json(201);
    taskmaster_testkit::sqlx::query("delete from tasks where command = 'first'")
        .execute(api.pool())
        .await
        .unwrap();
    let problem = post(&api, PATHS[0], "key", &body).await.problem(409);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("use a new key"), "{detail}");
}
