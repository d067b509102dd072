//! Answers that come piece by piece, for as long as both sides want.

use std::time::Duration;

use axum::body::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::client::{Client, MOST_REQUESTS};
use super::stand_in::StandIn;
use super::{compose, id, three_projects};
use crate::{DockerHost, ProxyConfig, bind, serve};

const LINE: &str = "POST /containers/{}/wait";

/// The engine's end of a stream that somebody has begun to listen to.
async fn engines_end(engine: &StandIn) -> mpsc::Sender<Bytes> {
    engine.listened.notified().await;
    engine.world().streams.pop().unwrap()
}

#[tokio::test]
async fn pieces_come_as_they_are_sent_and_end_with_the_engine() {
    let (engine, client) = compose().await;
    let stream = client.open(&LINE.replace("{}", &id("a1")), "", "").await;
    let sender = engines_end(&engine).await;
    let mut lines = BufReader::new(stream).lines();
    while lines.next_line().await.unwrap().unwrap() != "" {}
    for piece in ["first", "second"] {
        sender.send(format!("{piece}\n").into()).await.unwrap();
        // Each piece before the next one is sent: its length, itself, and an empty line.
        lines.next_line().await.unwrap();
        assert_eq!(lines.next_line().await.unwrap().unwrap(), piece);
        lines.next_line().await.unwrap();
    }
    drop(sender);
    assert_eq!(lines.next_line().await.unwrap().unwrap(), "0");
    let mut rest = String::new();
    lines.into_inner().read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "\r\n");
    let wait = format!("POST /containers/{}/wait?condition=not-running", id("a1"));
    assert_eq!(engine.lines(), [wait]);
}

#[tokio::test]
async fn a_quiet_stream_ends_with_the_one_who_listens() {
    let (engine, client) = compose().await;
    let stream = client.open(&LINE.replace("{}", &id("a1")), "", "").await;
    let sender = engines_end(&engine).await;
    drop(stream);
    sender.closed().await;
}

/// An engine that tells of containers, and says nothing to whoever waits for one.
#[tokio::test]
async fn a_stream_that_does_not_begin_is_504() {
    let (engine, client) = compose().await;
    engine.world().silent = true;
    let asked = LINE.replace("{}", &id("a1"));
    let asked = client.ask(&asked);
    let later = async {
        engine.listened.notified().await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(21)).await;
        tokio::time::resume();
    };
    let (answer, ()) = tokio::join!(asked, later);
    answer.assert_refused(504);
}

#[tokio::test]
async fn more_than_so_many_at_once_are_refused() {
    let (engine, client) = compose().await;
    let mut streams = Vec::new();
    for _ in 0..MOST_REQUESTS {
        let stream = client.open(&LINE.replace("{}", &id("a1")), "", "").await;
        streams.push((stream, engines_end(&engine).await));
    }
    client.ask("GET /_ping").await.assert_refused(429);
    // Whoever leaves makes room.
    let (stream, sender) = streams.pop().unwrap();
    drop(stream);
    sender.closed().await;
    assert_eq!(client.ask("GET /_ping").await.status, 200);
}

#[tokio::test]
async fn a_stop_waits_for_no_stream() {
    let engine = StandIn::start(three_projects(), Vec::new()).await;
    let config = ProxyConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        docker_host: DockerHost::Tcp(engine.address.to_string()),
        compose_project: Some("tm".to_owned()),
        worker_service: "worker".to_owned(),
    };
    let listener = bind(&config).await.unwrap();
    let client = Client::of(listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve(config, listener, shutdown.clone()));
    let _stream = client.open(&LINE.replace("{}", &id("a1")), "", "").await;
    let _sender = engines_end(&engine).await;
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}
