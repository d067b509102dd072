//! Everything that holds a connection, when all of them are cut at once.

use lapin::BasicProperties;
use taskmaster_broker::{
    AssignmentPublisher, ControlPublisher, Delivery, EventPublisher, Feed, SubmissionConsumer,
    WorkerEvent, WorkerMessage, consume_assignments, subscribe, wakeups,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::fleet::{Fleet, soon};
use crate::wire::Wire;

fn idle() -> WorkerEvent {
    WorkerEvent {
        name: "w".to_owned(),
        status: "idle".to_owned(),
    }
}

#[tokio::test]
async fn everything_comes_back_after_a_cut() {
    let fleet = Fleet::new().await;
    let wire = Wire::new().await;
    let config = wire.through(&fleet.config);
    let shutdown = CancellationToken::new();
    let drain = [("w", WorkerMessage::Drain)];

    let (sender, mut messages) = mpsc::channel(10);
    let (connected_sender, mut connected) = watch::channel(false);
    let worker = consume_assignments(
        config.clone(),
        "w".to_owned(),
        sender,
        connected_sender,
        shutdown.clone(),
    );
    let worker = tokio::spawn(worker);
    let mut feed = subscribe(
        config.clone(),
        &["worker.#"],
        None,
        || true,
        shutdown.clone(),
    );
    let wake = wakeups(config.clone(), &["worker.#"], shutdown.clone());
    let events = EventPublisher::spawn(config.clone(), "test", shutdown.clone());
    let mut publisher = AssignmentPublisher::new(&config);
    let control = ControlPublisher::new(&config).unwrap();
    let mut submissions = SubmissionConsumer::connect(&config).await.unwrap();

    soon("the worker", connected.wait_for(|connected| *connected))
        .await
        .unwrap();
    soon("the wake-up at the connection", wake.notified()).await;
    assert_eq!(soon("the feed", feed.recv()).await, Some(Feed::Connected));
    events.worker(idle());
    assert_eq!(
        soon("an event", feed.recv()).await,
        Some(Feed::Workers(vec![idle()]))
    );
    soon("a wake-up", wake.notified()).await;
    assert_eq!(
        publisher.publish(&drain).await.unwrap(),
        [Delivery::Confirmed]
    );
    assert_eq!(control.send("w", &WorkerMessage::Drain).await, Ok(true));
    for _ in 0..2 {
        assert_eq!(
            soon("a message", messages.recv()).await,
            Some(WorkerMessage::Drain)
        );
    }
    fleet
        .publish(
            "",
            &fleet.names.submissions(),
            b"x",
            BasicProperties::default(),
        )
        .await;
    let held = soon("a submission", submissions.next_batch(10))
        .await
        .unwrap();

    wire.cut();

    soon(
        "the loss to be noticed",
        connected.wait_for(|connected| !connected),
    )
    .await
    .unwrap();
    soon("the worker", connected.wait_for(|connected| *connected))
        .await
        .unwrap();
    soon("the wake-up at the connection", wake.notified()).await;
    soon("the loss to be noticed", submissions.next_batch(10))
        .await
        .unwrap_err();
    submissions.ack(&held).await.unwrap_err();
    let mut submissions = SubmissionConsumer::connect(&config).await.unwrap();
    let again = soon("the submission", submissions.next_batch(10))
        .await
        .unwrap();
    assert!(again[0].redelivered && again[0].body == b"x");
    submissions.ack(&again).await.unwrap();

    soon("the publisher", publisher.ensure_ready()).await;
    assert_eq!(
        publisher.publish(&drain).await.unwrap(),
        [Delivery::Confirmed]
    );
    assert_eq!(
        soon("a message", messages.recv()).await,
        Some(WorkerMessage::Drain)
    );
    soon("a ping", control.ping()).await.unwrap();
    assert_eq!(control.send("w", &WorkerMessage::Drain).await, Ok(true));

    assert_eq!(soon("the loss", feed.recv()).await, Some(Feed::Lost));
    // The event comes, and then the word that others may have been lost with the connection.
    assert_eq!(soon("the feed", feed.recv()).await, Some(Feed::Connected));
    events.worker(idle());
    assert_eq!(
        soon("an event", feed.recv()).await,
        Some(Feed::Workers(vec![idle()]))
    );
    assert_eq!(soon("the word", feed.recv()).await, Some(Feed::Connected));

    shutdown.cancel();
    soon("the worker's stop", worker).await.unwrap();
    soon("the publisher's stop", events.stopped()).await;
    submissions.close().await;
    fleet.clean_up(&["w"]).await;
}
