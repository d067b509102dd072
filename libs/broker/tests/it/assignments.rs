//! From the coordinator to a worker.

use lapin::BasicProperties;
use taskmaster_broker::{
    Assignment, AssignmentPublisher, Delivery, Found, Inspector, Piece, TaskLease, WorkerMessage,
    WorkerQueues, consume_assignments,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fleet::{Fleet, soon};

struct Worker {
    messages: mpsc::Receiver<WorkerMessage>,
    connected: watch::Receiver<bool>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Worker {
    async fn start(fleet: &Fleet, name: &str, capacity: usize) -> Self {
        let (sender, messages) = mpsc::channel(capacity);
        let (connected_sender, mut connected) = watch::channel(false);
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(consume_assignments(
            fleet.config.clone(),
            name.to_owned(),
            sender,
            connected_sender,
            shutdown.clone(),
        ));
        soon(
            "the worker's connection",
            connected.wait_for(|connected| *connected),
        )
        .await
        .unwrap();
        Self {
            messages,
            connected,
            shutdown,
            task,
        }
    }

    async fn next(&mut self) -> WorkerMessage {
        soon("a message", self.messages.recv()).await.unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        soon("the worker's stop", self.task).await.unwrap();
        assert!(!*self.connected.borrow());
    }
}

fn assign(lease: i32) -> WorkerMessage {
    let assignment = Assignment {
        id: Uuid::now_v7(),
        lease,
        wait_ms: 0,
    };
    WorkerMessage::Assign {
        tasks: vec![assignment; 3],
    }
}

#[tokio::test]
async fn messages_arrive_in_order_and_are_acknowledged() {
    let fleet = Fleet::new().await;
    let mut one = Worker::start(&fleet, "one", 16).await;
    let mut two = Worker::start(&fleet, "two", 16).await;
    let mut publisher = AssignmentPublisher::new(&fleet.config);

    let mut sent: Vec<(&str, WorkerMessage)> = (0..300)
        .map(|lease| (if lease % 3 == 0 { "one" } else { "two" }, assign(lease)))
        .collect();
    sent.push((
        "one",
        WorkerMessage::Cancel {
            tasks: vec![TaskLease {
                id: Uuid::now_v7(),
                lease: 7,
            }],
        },
    ));
    sent.push(("two", WorkerMessage::Drain));
    let deliveries = publisher.publish(&sent).await.unwrap();
    assert_eq!(deliveries, vec![Delivery::Confirmed; sent.len()]);

    for (worker, message) in &sent {
        let receiver = if *worker == "one" { &mut one } else { &mut two };
        assert_eq!(receiver.next().await, *message);
    }
    one.stop().await;
    two.stop().await;
    assert_eq!(fleet.waiting(&fleet.names.worker("one")).await, 0);
    assert_eq!(fleet.waiting(&fleet.names.worker("two")).await, 0);
    fleet.clean_up(&["one", "two"]).await;
}

/// What a cluster needs. That a queue survives the loss of a node is RabbitMQ's own matter.
#[tokio::test]
async fn through_quorum_queues_as_well() {
    let mut fleet = Fleet::new().await;
    let classic = fleet.config.clone();
    fleet.config.worker_queues = WorkerQueues::Quorum;
    let mut worker = Worker::start(&fleet, "w", 16).await;
    let mut publisher = AssignmentPublisher::new(&fleet.config);
    let sent: Vec<_> = (0..100).map(|lease| ("w", assign(lease))).collect();
    let deliveries = publisher.publish(&sent).await.unwrap();
    assert_eq!(deliveries, vec![Delivery::Confirmed; sent.len()]);
    for (_, message) in &sent {
        assert_eq!(worker.next().await, *message);
    }
    // One that is not there is made of the same kind.
    let later = [("later", assign(1))];
    let deliveries = publisher.publish(&later).await.unwrap();
    assert_eq!(deliveries, [Delivery::Returned]);
    for name in ["w", "later"] {
        for (config, same) in [(&fleet.config, true), (&classic, false)] {
            let inspector = Inspector::connect(config).await.unwrap();
            let found = inspector.look(Piece::Worker(name)).await.unwrap();
            assert_eq!(matches!(found, Found::AsDeclared(_)), same, "{found:?}");
            assert_eq!(matches!(found, Found::Different { .. }), !same, "{found:?}");
            inspector.close().await;
        }
    }
    worker.stop().await;
    fleet.clean_up(&["w", "later"]).await;
}

#[tokio::test]
async fn a_message_for_a_missing_queue_is_returned_and_the_next_arrives() {
    let fleet = Fleet::new().await;
    let mut here = Worker::start(&fleet, "here", 16).await;
    let mut publisher = AssignmentPublisher::new(&fleet.config);
    publisher.ensure_ready().await;
    assert!(publisher.is_ready() && !publisher.blocked());

    let sent: Vec<_> = (0..40)
        .map(|n| (if n % 4 == 0 { "gone" } else { "here" }, assign(n)))
        .collect();
    let deliveries = publisher.publish(&sent).await.unwrap();
    for ((worker, message), delivery) in sent.iter().zip(deliveries) {
        if *worker == "here" {
            assert_eq!(delivery, Delivery::Confirmed);
            assert_eq!(here.next().await, *message);
        } else {
            assert_eq!(delivery, Delivery::Returned);
        }
    }

    let again = [("gone", assign(1))];
    assert_eq!(
        publisher.publish(&again).await.unwrap(),
        [Delivery::Confirmed]
    );
    let mut gone = Worker::start(&fleet, "gone", 16).await;
    assert_eq!(gone.next().await, again[0].1);
    here.stop().await;
    gone.stop().await;
    fleet.clean_up(&["here", "gone"]).await;
}

#[tokio::test]
async fn a_worker_whose_queue_is_deleted_makes_it_again() {
    let fleet = Fleet::new().await;
    let mut worker = Worker::start(&fleet, "w", 16).await;
    let queue = fleet.names.worker("w");
    fleet.delete(&queue).await;
    soon(
        "the loss to be noticed",
        worker.connected.wait_for(|connected| !connected),
    )
    .await
    .unwrap();
    soon(
        "the queue's repair",
        worker.connected.wait_for(|connected| *connected),
    )
    .await
    .unwrap();

    let mut publisher = AssignmentPublisher::new(&fleet.config);
    let sent = [("w", assign(1))];
    assert_eq!(
        publisher.publish(&sent).await.unwrap(),
        [Delivery::Confirmed]
    );
    assert_eq!(worker.next().await, sent[0].1);
    worker.stop().await;
    fleet.clean_up(&["w"]).await;
}

#[tokio::test]
async fn a_message_that_is_none_of_ours_is_dropped() {
    let fleet = Fleet::new().await;
    let mut worker = Worker::start(&fleet, "w", 16).await;
    let queue = fleet.names.worker("w");
    for body in [
        &b"rubbish"[..],
        b"{\"assign\":{\"tasks\":[{\"id\":1}]}}",
        b"",
        b"\"drain\"",
    ] {
        fleet
            .publish("", &queue, body, BasicProperties::default())
            .await;
    }
    assert_eq!(worker.next().await, WorkerMessage::Drain);
    worker.stop().await;
    assert_eq!(fleet.waiting(&queue).await, 0);
    fleet.clean_up(&["w"]).await;
}

#[tokio::test]
async fn what_was_not_handed_over_stays_in_the_queue() {
    let fleet = Fleet::new().await;
    let worker = Worker::start(&fleet, "w", 1).await;
    let mut publisher = AssignmentPublisher::new(&fleet.config);
    let sent: Vec<_> = (0..5).map(|lease| ("w", assign(lease))).collect();
    publisher.publish(&sent).await.unwrap();
    // Full: one message was handed over and nobody reads on.
    let Worker {
        mut messages,
        connected,
        shutdown,
        task,
    } = worker;
    let first = soon("a message", messages.recv()).await.unwrap();
    assert_eq!(first, sent[0].1);
    shutdown.cancel();
    soon("the worker's stop", task).await.unwrap();
    assert!(!*connected.borrow());

    let mut handed_over = 1;
    while messages.recv().await.is_some() {
        handed_over += 1;
    }
    assert_eq!(
        fleet.waiting(&fleet.names.worker("w")).await,
        5 - handed_over
    );
    assert!(handed_over < 5);
    fleet.clean_up(&["w"]).await;
}
