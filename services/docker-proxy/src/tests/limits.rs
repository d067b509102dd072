//! What is held at once, and for how long.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time;

use super::client::{Client, MOST_REQUESTS};
use super::{compose, id};
use crate::proxy::MOST_BODIES;

const CREATE: &str = "POST /containers/create?name=tm_worker_3";
/// By which the one who waits for a body says that it does.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The head of a creation whose body is to come when it is asked for.
async fn announce(client: &Client) -> TcpStream {
    let headers = "Content-Length: 2\r\nExpect: 100-continue\r\n";
    client.open(CREATE, headers, "").await
}

async fn is_asked_for_its_body(stream: &mut TcpStream) {
    let mut said = [0; CONTINUE.len()];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(said, CONTINUE);
}

#[tokio::test]
async fn a_change_takes_up_its_room_when_the_caller_is_gone() {
    let (engine, client) = compose().await;
    let hold = Arc::new(Notify::new());
    engine.world().hold_stops = Some(Arc::clone(&hold));
    let stop = format!("POST /containers/{}/stop", id("a1"));
    for _ in 0..MOST_REQUESTS {
        let gone = client.open(&stop, "", "").await;
        engine.stopping.notified().await;
        drop(gone);
    }
    client.ask("GET /_ping").await.assert_refused(429);
    hold.notify_waiters();
    // Each ends when the engine has answered.
    while client.ask("GET /_ping").await.status == 429 {}
    assert_eq!(client.ask("GET /_ping").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408() {
    let (engine, client) = compose().await;
    let begun = time::Instant::now();
    let refused = client.send(CREATE, "Content-Length: 2\r\n", "").await;
    refused.assert_refused(408);
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(engine.lines(), [""; 0]);
}

#[tokio::test]
async fn so_many_bodies_are_read_at_once() {
    let (engine, client) = compose().await;
    let mut reading = Vec::new();
    for _ in 0..MOST_BODIES {
        let mut stream = announce(&client).await;
        is_asked_for_its_body(&mut stream).await;
        reading.push(stream);
    }
    let mut next = announce(&client).await;
    // Time enough for it to be asked, if it were.
    assert_eq!(client.ask("GET /_ping").await.status, 200);
    assert!(next.try_read(&mut [0]).is_err());
    drop(reading.pop());
    is_asked_for_its_body(&mut next).await;
    next.write_all(b"{}").await.unwrap();
    let mut answer = String::new();
    next.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(engine.world().containers.len(), 9);
}

#[tokio::test]
async fn a_worker_that_comes_too_late_is_removed() {
    let (engine, client) = compose().await;
    let hold = Arc::new(Notify::new());
    engine.world().hold = Some(Arc::clone(&hold));
    let created = client.post("/containers/create?name=tm_worker_3", &Value::Null);
    let later = async {
        engine.creating.notified().await;
        time::pause();
        time::advance(Duration::from_secs(51)).await;
        time::resume();
        hold.notify_one();
    };
    let (created, ()) = tokio::join!(created, later);
    created.assert_refused(504);
    assert_eq!(engine.world().containers.len(), 8);
    let made = engine.lines().pop().unwrap();
    assert!(made.starts_with("DELETE /containers/d8"), "{made}");
}
