//! `POST /api/v1/workers/{name}/drain`: who drains, who does not, and that nothing but Postgres has to be there for it.

use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use taskmaster_fleet::{DockerFleet, DockerFleetConfig, Fleet};
use taskmaster_store::{PgPool, workers};
use tokio::net::TcpListener;

use crate::api::TestApi;
use crate::audit::{ended, steps};
use crate::bad_input::refused;
use crate::stand_in::StandIn;

async fn status(api: &TestApi, name: &str) -> Value {
    let workers = api.get("/api/v1/workers").await.json(200);
    let mut workers = workers["workers"].as_array().unwrap().iter();
    let worker = workers.find(|worker| worker["name"] == name).unwrap();
    worker["status"].clone()
}

#[tokio::test]
async fn a_worker_drains_from_the_answer_on_even_without_rabbitmq() {
    let api = TestApi::start().await;
    api.submit(json!({"command": "sleep 9"})).await;
    let worker = StandIn::register(api.pool(), "worker-1").await;
    let task = worker.start().await;
    StandIn::register(api.pool(), "worker-2").await;
    assert_eq!(status(&api, "worker-1").await, "busy");

    let path = "/api/v1/workers/worker-1/drain";
    let shown = api.ask(path).await.json(202);
    assert_eq!(
        (&shown["name"], &shown["status"], &shown["running"]),
        (&json!("worker-1"), &json!("draining"), &json!(1))
    );
    assert_eq!(shown["current_task_ids"], json!([task.id]));
    assert_eq!(status(&api, "worker-1").await, "draining");
    assert_eq!(status(&api, "worker-2").await, "idle");
    let with_room = workers::available(api.pool(), true).await.unwrap();
    let with_room: Vec<_> = with_room.iter().map(|worker| &worker.name).collect();
    assert_eq!(with_room, ["worker-2"]);

    assert_eq!(api.ask(path).await.json(202), shown, "asked again");
    worker.complete(task).await;
    assert_eq!(status(&api, "worker-1").await, "draining");
    let seed = api.get("/api/workers").await.json(200);
    assert_eq!(seed["workers"][0]["status"], "draining");
}

#[tokio::test]
async fn who_is_not_there_does_not_drain() {
    let api = TestApi::start().await;
    let problem = api.ask("/api/v1/workers/worker-9/drain").await.problem(404);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("worker-9"), "{detail}");

    StandIn::register(api.pool(), "worker-1")
        .await
        .sign_off()
        .await;
    let problem = api.ask("/api/v1/workers/worker-1/drain").await.problem(409);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("worker-1 is offline"), "{detail}");
    assert_eq!(status(&api, "worker-1").await, "offline");

    // The next one of the name has nothing to do with it.
    StandIn::register(api.pool(), "worker-1").await;
    assert_eq!(status(&api, "worker-1").await, "idle");
    for bad in ["%3B%20rm%20-rf%20%2F", "-rm", "a%20b", "%ff", "..%2f.."] {
        let answer = api.ask(&format!("/api/v1/workers/{bad}/drain")).await;
        refused(&answer, "name", "1 to 63 letters", bad);
    }
    let answer = api.ask("/api/v1/workers/worker-1/drain?now=1").await;
    refused(&answer, "now", "no parameters", "now");
    assert_eq!(status(&api, "worker-1").await, "idle");
}

#[tokio::test]
async fn it_is_told_to_whoever_follows() {
    let api = TestApi::with_rabbitmq().await;
    let mut events = api.follow("/api/v1/events").await;
    events.until_live().await;
    StandIn::register(api.pool(), "worker-1").await;
    api.ask("/api/v1/workers/worker-1/drain").await.json(202);
    let expected = json!({"workers": [{"name": "worker-1", "status": "draining"}]});
    assert_eq!(events.next_named("workers").await, expected);
}

/// An engine with one container, which does not answer any more once a worker was asked to drain.
async fn engine(pool: PgPool) -> String {
    let list = async move || {
        let asked: bool = taskmaster_testkit::sqlx::query_scalar(
            "select exists (select from workers where drain_requested_at is not null)",
        )
        .fetch_one(&pool)
        .await
        .unwrap();
        let container = json!([{
            "Id": "a-host", "Names": ["/tm-worker-1"], "Image": "taskmaster", "ImageID": "sha256:1", "Created": 1,
            "Labels": {"com.docker.compose.project": "tm", "com.docker.compose.service": "worker"},
            "State": "running", "Status": "Up 3 seconds",
        }]);
        if asked {
            StatusCode::BAD_GATEWAY.into_response()
        } else {
            Json(container).into_response()
        }
    };
    let list = move || {
        let list = list.clone();
        async move { list().await }
    };
    let router = Router::new()
        .route("/containers/json", get(list.clone()))
        .route("/{version}/containers/json", get(list));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("tcp://{address}")
}

#[tokio::test]
async fn a_drain_that_the_fleet_was_not_told_of_says_so() {
    let api = TestApi::start().await;
    StandIn::register(api.pool(), "worker-1").await;
    let config = DockerFleetConfig {
        host: engine(api.pool().clone()).await,
        project: Some("tm".to_owned()),
        service: "worker".to_owned(),
    };
    let on_engine = api.beside(Fleet::Docker(DockerFleet::new(config).unwrap()));
    let answer = on_engine.ask("/api/v1/workers/worker-1/drain").await;
    assert_eq!(answer.json(202)["status"], "draining");
    let id = answer.header("location").replace("/api/v1/audit/", "");
    let entry = ended(&api, &json!(id)).await;
    assert_eq!(entry["outcome"], "partial", "{entry}");
    assert_eq!(steps(&entry), ["tm-worker-1 failed"]);
    let error = entry["error"].as_str().unwrap();
    assert!(error.contains("the fleet was not told"), "{error}");
}
