//! Listening and stopping, on a real socket.

use std::sync::Arc;
use std::time::Duration;

use taskmaster_api::{bind, serve};
use taskmaster_fleet::Fleet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::answer::PATIENCE;
use crate::api::{closed_port, config};

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_what_to_do() {
    let mut config = config("postgres://localhost:1/x", "amqp://localhost:1");
    let taken = bind(&config).await.unwrap();
    config.listen = taken.local_addr().unwrap();
    let error = format!("{:#}", bind(&config).await.unwrap_err());
    assert!(error.starts_with(&config.listen.to_string()), "{error}");
    assert!(
        error.contains("in use") && error.contains("--listen"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1);
}

#[tokio::test]
async fn stops_with_open_streams_and_idle_connections() {
    let amqp = format!("amqp://127.0.0.1:{}", closed_port());
    let config = config("postgres://127.0.0.1:1/x", &amqp);
    let listener = bind(&config).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(serve(
        config,
        listener,
        Arc::new(Fleet::None),
        shutdown.clone(),
    ));

    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /api/v1/events HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 15];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    let _idle = TcpStream::connect(address).await.unwrap();

    shutdown.cancel();
    // Well before connections would be cut.
    let ended = tokio::time::timeout(Duration::from_secs(8), serving).await;
    ended.expect("did not stop").unwrap().unwrap();
    let mut rest = Vec::new();
    let reading = stream.read_to_end(&mut rest);
    tokio::time::timeout(PATIENCE, reading)
        .await
        .unwrap()
        .unwrap();
    assert!(
        rest.ends_with(b"0\r\n\r\n"),
        "the stream was cut, not ended"
    );
}
