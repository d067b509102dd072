//! A RabbitMQ that is not there, does not answer, or says no.

use std::time::{Duration, Instant};

use taskmaster_broker::{
    AssignmentPublisher, BrokerConfig, ControlPublisher, Error, EventPublisher, NewSubmission,
    SubmissionConsumer, SubmissionPublisher, WorkerEvent, WorkerMessage, consume_assignments,
    subscribe, wakeups,
};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::fleet::{soon, url};

const PASSWORD: &str = "s3cr3t-w0rd";

fn config(address: &str) -> BrokerConfig {
    BrokerConfig::new(
        format!("amqp://bob:{PASSWORD}@{address}/%2f"),
        "test-unreachable",
    )
    .unwrap()
}

/// Every way in that reports an error, and the error.
async fn errors(config: &BrokerConfig) -> Vec<Error> {
    let control = ControlPublisher::new(config).unwrap();
    // Of its own: those who come at once wait for each other to find out whether RabbitMQ is there.
    let pinging = ControlPublisher::new(config).unwrap();
    let drain = [("w", WorkerMessage::Drain)];
    let mut assignments = AssignmentPublisher::new(config);
    let mut submissions = SubmissionPublisher::new(config);
    let new = [NewSubmission {
        message_id: None,
        body: b"{}".to_vec(),
    }];
    let (published, submitted, consumer, sent, ping) = tokio::join!(
        assignments.publish(&drain),
        submissions.publish(&new),
        SubmissionConsumer::connect(config),
        control.send("w", &WorkerMessage::Drain),
        pinging.ping(),
    );
    assert!(!assignments.is_ready());
    vec![
        published.unwrap_err(),
        submitted.unwrap_err(),
        consumer.err().unwrap(),
        sent.unwrap_err(),
        ping.unwrap_err(),
    ]
}

fn assert_keeps_the_secret(errors: &[Error]) {
    for error in errors {
        let shown = format!("{error} {error:?}");
        assert!(
            !shown.contains(PASSWORD) && !shown.contains("bob"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let config = config(&address);
    let errors = soon("the errors", errors(&config)).await;
    for error in &errors {
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains(&address), "{error}");
    }
    assert_keeps_the_secret(&errors);

    let mut publisher = AssignmentPublisher::new(&config);
    let drain = [("w", WorkerMessage::Drain)];
    publisher.publish(&drain).await.unwrap_err();
    assert_eq!(
        publisher.publish(&drain).await,
        Err(Error::Away { address })
    );
}

#[tokio::test]
async fn it_accepts_and_then_says_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(&listener.local_addr().unwrap().to_string());
    let (ended, mut ends) = mpsc::unbounded_channel();
    let silent = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let ended = ended.clone();
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                socket.read_to_end(&mut bytes).await.unwrap();
                ended.send(bytes).unwrap();
            });
        }
    });
    let begin = Instant::now();
    let errors = soon("the errors", errors(&config)).await;
    assert!(
        begin.elapsed() < Duration::from_secs(15),
        "{:?}",
        begin.elapsed()
    );
    for error in &errors {
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    }
    assert_keeps_the_secret(&errors);
    // Each gave its connection up, so that none is left behind.
    for _ in &errors {
        let bytes = soon("the end of a connection", ends.recv()).await.unwrap();
        assert_eq!(bytes, b"AMQP\x00\x00\x09\x01");
    }
    silent.abort();
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_repeated() {
    let host = BrokerConfig::new(url(), "test").unwrap().redacted();
    let errors = soon("the errors", errors(&config(&host))).await;
    for error in &errors {
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    }
    assert_keeps_the_secret(&errors);
}

#[tokio::test]
async fn everything_that_waits_stops_when_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config(&listener.local_addr().unwrap().to_string());
    drop(listener);
    let shutdown = CancellationToken::new();
    let (messages, _receiver) = mpsc::channel(1);
    let (connected, _) = watch::channel(false);
    let worker = consume_assignments(
        config.clone(),
        "w".to_owned(),
        messages,
        connected,
        shutdown.clone(),
    );
    let worker = tokio::spawn(worker);
    let mut feed = subscribe(config.clone(), &["#"], None, || true, shutdown.clone());
    let _wake = wakeups(config.clone(), &["#"], shutdown.clone());
    let events = EventPublisher::spawn(config, "test", shutdown.clone());
    for _ in 0..2000 {
        events.worker(WorkerEvent {
            name: "w".to_owned(),
            status: "idle".to_owned(),
        });
    }
    assert!(events.lost() >= 2000 - 1024, "{}", events.lost());
    shutdown.cancel();
    soon("the worker's consumer", worker).await.unwrap();
    soon("the publisher", events.stopped()).await;
    assert_eq!(soon("the feed", feed.recv()).await, None);
}
