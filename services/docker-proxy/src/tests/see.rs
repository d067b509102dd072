//! What can be seen through the proxy, and what an engine is told of who looks.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::client::Client;
use super::{FOREIGN, SECRET, compose, id};
use crate::ours::Ours;

const FILTERS: &str = r#"{"label":["com.docker.compose.project=tm","com.docker.compose.service=worker","com.docker.compose.oneoff=False"]}"#;

#[tokio::test]
async fn only_ours_is_listed() {
    let (engine, client) = compose().await;
    for line in [
        "GET /containers/json",
        "GET /containers/json?all=1&filters=%7B%7D",
        "GET /v1.41/containers/json?all=true&size=false",
    ] {
        let answer = client.ask(line).await;
        assert_eq!(answer.status, 200);
        let list = answer.json();
        let names = list
            .as_array()
            .unwrap()
            .iter()
            .map(|said| &said["Names"][1]);
        assert_eq!(names.collect::<Vec<_>>(), ["/tm_worker_1", "/tm_worker_2"]);
    }
    let seen = [
        format!("GET /containers/json?all=0&filters={FILTERS}"),
        format!("GET /containers/json?all=1&filters={FILTERS}"),
        format!("GET /v1.41/containers/json?all=1&filters={FILTERS}"),
    ];
    assert_eq!(engine.lines(), seen);
}

#[tokio::test]
async fn ours_is_shown_by_id_beginning_and_name_and_nothing_else_is() {
    let (engine, client) = compose().await;
    for name in [&id("a1"), &id("a1")[..12], "tm_worker_1"] {
        let answer = client
            .ask(&format!("GET /v1.41/containers/{name}/json"))
            .await;
        assert_eq!(answer.status, 200);
        let mut expected = engine.world().containers[0].clone();
        expected["Config"]["Env"] = json!([]);
        assert_eq!(answer.json(), expected);
        assert!(!answer.body.contains(SECRET));
    }
    for start in FOREIGN {
        for name in [id(start), id(start)[..12].to_owned()] {
            let answer = client.ask(&format!("GET /containers/{name}/json")).await;
            answer.assert_refused(403);
            assert!(!answer.body.contains("DATABASE_URL") && !answer.body.contains("Env"));
        }
    }
    for name in ["tm_postgres_1", "other_db_1", "tm_worker_run_5a"] {
        client
            .ask(&format!("GET /containers/{name}/json"))
            .await
            .assert_refused(403);
    }
    client
        .ask("GET /containers/nobody/json")
        .await
        .assert_refused(404);
}

#[tokio::test]
async fn the_engine_hears_nothing_of_the_caller() {
    let (engine, client) = compose().await;
    let headers = "X-Registry-Auth: c2VjcmV0\r\nCookie: a=b\r\nUser-Agent: evil\r\nX-Forwarded-For: 1.2.3.4\r\n\
                   Content-Type: application/x-tar\r\n";
    let answer = client.send("GET /v1.41/_ping", headers, "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "OK"));
    assert!(answer.head.contains("api-version: 1.41"), "{}", answer.head);
    assert!(!answer.head.contains("docker-secret"), "{}", answer.head);
    let start = format!("POST /containers/{}/start", id("a1"));
    assert_eq!(client.send(&start, headers, "").await.status, 204);
    let [ping, start] = &engine.take()[..] else {
        panic!("not two requests");
    };
    assert_eq!(ping.line, "GET /v1.41/_ping");
    for asked in [ping, start] {
        let mut names: Vec<&str> = asked.headers.keys().map(|name| name.as_str()).collect();
        names.retain(|name| !["host", "content-length"].contains(name));
        assert_eq!(names, [""; 0], "{asked:?}");
    }
}

#[tokio::test]
async fn what_is_not_in_the_list_never_reaches_the_engine() {
    let (engine, client) = compose().await;
    let id = id("a1");
    for line in [
        &format!("POST /containers/{id}/exec"),
        &format!("POST /containers/{id}/attach?stream=1"),
        &format!("GET /containers/{id}/archive?path=/etc"),
        &format!("DELETE /containers/{id}?v=1&force=1"),
        &format!("POST /containers/{id}/kill?signal=KILL"),
        "GET /images/json",
        "GET /version",
        "GET /events",
        "GET /containers/..%2f..%2fimages/json",
        "GET //containers/json",
        "GET /containers/../images/json",
        "TRACE /_ping",
        "CONNECT postgres:5432",
        "OPTIONS *",
        "GET http://127.0.0.1/_ping",
        "BREW /_ping",
    ] {
        client.ask(line).await.assert_refused(403);
    }
    let upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";
    client
        .send("GET /_ping", upgrade, "")
        .await
        .assert_refused(403);
    client
        .send("GET /_ping", "", "{}")
        .await
        .assert_refused(403);
    let chunked = "Transfer-Encoding: chunked\r\n";
    let start = format!("POST /containers/{id}/start");
    client.send(&start, chunked, "").await.assert_refused(403);
    // A web page that had its own name lead here.
    let rebound = "Host: evil.example:2375\r\n";
    client
        .send("GET /_ping", rebound, "")
        .await
        .assert_refused(403);
    assert_eq!(engine.lines(), [""; 0]);
}

#[tokio::test]
async fn an_engine_that_is_away_is_502() {
    let nobody = closed_port().await;
    let client = Client::start(nobody, Ours::project("tm", "worker")).await;
    for line in [
        "GET /_ping",
        "GET /containers/json",
        "GET /containers/x/json",
    ] {
        client.ask(line).await.assert_refused(502);
    }
    let create = "/containers/create?name=tm_worker_3";
    client.post(create, &Value::Null).await.assert_refused(502);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_says_nothing_is_504() {
    let engine = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = engine.local_addr().unwrap();
    let client = Client::start(silent, Ours::project("tm", "worker")).await;
    client.ask("GET /_ping").await.assert_refused(504);
}

/// An address where nobody listens.
async fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}
