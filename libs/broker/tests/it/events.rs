//! From whoever changes something to whoever wants to know.

use std::sync::atomic::{AtomicBool, Ordering};

use lapin::BasicProperties;
use taskmaster_broker::{EventPublisher, Feed, TaskEvent, WorkerEvent, subscribe, wakeups};
use taskmaster_core::TaskStatus;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fleet::{Fleet, soon};

fn task(status: TaskStatus) -> TaskEvent {
    TaskEvent {
        id: Uuid::now_v7(),
        status,
        assigned_worker_name: Some("w".to_owned()),
    }
}

fn worker(name: &str, status: &str) -> WorkerEvent {
    WorkerEvent {
        name: name.to_owned(),
        status: status.to_owned(),
    }
}

/// Listens to all that it is sent, and is connected.
async fn listen(
    fleet: &Fleet,
    bindings: &[&str],
    max_length: Option<i32>,
    shutdown: &CancellationToken,
) -> mpsc::Receiver<Feed> {
    let (config, shutdown) = (fleet.config.clone(), shutdown.clone());
    let mut feed = subscribe(config, bindings, max_length, || true, shutdown);
    assert_eq!(next(&mut feed).await, Feed::Connected);
    feed
}

async fn next(feed: &mut mpsc::Receiver<Feed>) -> Feed {
    soon("an event", feed.recv()).await.unwrap()
}

#[tokio::test]
async fn each_subscriber_gets_what_it_asked_for() {
    let fleet = Fleet::new().await;
    let shutdown = CancellationToken::new();
    let mut all = listen(&fleet, &["task.#", "worker.#"], Some(1000), &shutdown).await;
    let some = &["task.*.completed", "worker.*.offline"];
    let mut finished = listen(&fleet, some, Some(1000), &shutdown).await;

    let events = EventPublisher::spawn(fleet.config.clone(), "test", shutdown.clone());
    let (started, done) = (task(TaskStatus::Running), task(TaskStatus::Completed));
    events.tasks([started.clone(), done.clone(), started.clone()]);
    events.tasks([]);
    events.worker(worker("w", "busy"));
    events.worker(worker("w", "offline"));

    let twice = Feed::Tasks(vec![started.clone(), started]);
    for expected in [
        twice,
        Feed::Tasks(vec![done.clone()]),
        Feed::Workers(vec![worker("w", "busy")]),
        Feed::Workers(vec![worker("w", "offline")]),
    ] {
        assert_eq!(next(&mut all).await, expected);
    }
    assert_eq!(next(&mut finished).await, Feed::Tasks(vec![done]));
    assert_eq!(
        next(&mut finished).await,
        Feed::Workers(vec![worker("w", "offline")])
    );
    assert_eq!(events.lost(), 0);

    shutdown.cancel();
    soon("the publisher's stop", events.stopped()).await;
    assert_eq!(soon("the end of the feed", all.recv()).await, None);
    fleet.clean_up(&[]).await;
}

#[tokio::test]
async fn what_is_queued_at_shutdown_is_still_sent() {
    let fleet = Fleet::new().await;
    let subscriber = CancellationToken::new();
    let mut feed = listen(&fleet, &["#"], None, &subscriber).await;
    let shutdown = CancellationToken::new();
    let events = EventPublisher::spawn(fleet.config.clone(), "test", shutdown.clone());
    events.worker(worker("w", "idle"));
    assert_eq!(
        next(&mut feed).await,
        Feed::Workers(vec![worker("w", "idle")])
    );

    events.worker(worker("w", "offline"));
    shutdown.cancel();
    assert_eq!(
        next(&mut feed).await,
        Feed::Workers(vec![worker("w", "offline")])
    );
    soon("the publisher's stop", events.stopped()).await;
    events.worker(worker("w", "idle"));
    assert_eq!(events.lost(), 1);
    subscriber.cancel();
    fleet.clean_up(&[]).await;
}

#[tokio::test]
async fn listeners_are_told_when_events_were_dropped() {
    let fleet = Fleet::new().await;
    let shutdown = CancellationToken::new();
    let mut feed = listen(&fleet, &["#"], None, &shutdown).await;
    let events = EventPublisher::spawn(fleet.config.clone(), "test", shutdown.clone());
    // On this runtime of one thread nothing is sent before the loop is through.
    for n in 0..3000 {
        events.worker(worker(&format!("w{n}"), "idle"));
    }
    assert!(events.lost() > 0);
    let mut received = 0;
    while let Feed::Workers(workers) = next(&mut feed).await {
        received += workers.len() as u64;
    }
    assert_eq!(received + events.lost(), 3000);
    shutdown.cancel();
    fleet.clean_up(&[]).await;
}

#[tokio::test]
async fn a_subscriber_that_falls_behind_starts_over() {
    let fleet = Fleet::new().await;
    let shutdown = CancellationToken::new();
    let mut feed = listen(&fleet, &["task.#"], None, &shutdown).await;
    let body = serde_json::to_vec(&[task(TaskStatus::Running)]).unwrap();
    for _ in 0..3000 {
        let key = "task.default.running";
        fleet
            .publish(
                &fleet.names.events(),
                key,
                &body,
                BasicProperties::default(),
            )
            .await;
    }
    let mut received = 0;
    while next(&mut feed).await != Feed::Connected {
        received += 1;
    }
    assert!(received < 3000, "{received}");
    // And carries on from there.
    fleet
        .publish(
            &fleet.names.events(),
            "task.default.x",
            b"[]",
            BasicProperties::default(),
        )
        .await;
    while next(&mut feed).await != Feed::Tasks(Vec::new()) {}
    shutdown.cancel();
    fleet.clean_up(&[]).await;
}

#[tokio::test]
async fn what_comes_while_nothing_is_wanted_is_dropped() {
    let fleet = Fleet::new().await;
    let shutdown = CancellationToken::new();
    // Wanted from the second message on.
    let asked = AtomicBool::new(false);
    let mut feed = subscribe(
        fleet.config.clone(),
        &["#"],
        None,
        move || asked.swap(true, Ordering::Relaxed),
        shutdown.clone(),
    );
    assert_eq!(next(&mut feed).await, Feed::Connected);
    let events = EventPublisher::spawn(fleet.config.clone(), "test", shutdown.clone());
    events.worker(worker("w", "idle"));
    events.worker(worker("w", "busy"));
    assert_eq!(
        next(&mut feed).await,
        Feed::Workers(vec![worker("w", "busy")])
    );
    shutdown.cancel();
    fleet.clean_up(&[]).await;
}

#[tokio::test]
async fn what_is_no_event_is_skipped() {
    let fleet = Fleet::new().await;
    let shutdown = CancellationToken::new();
    let mut feed = listen(&fleet, &["#"], None, &shutdown).await;
    let events = fleet.names.events();
    for (key, body) in [
        ("task.default.running", "rubbish"),
        ("mine", "[]"),
        ("worker.w.idle", "{}"),
    ] {
        fleet
            .publish(&events, key, body.as_bytes(), BasicProperties::default())
            .await;
    }
    fleet
        .publish(&events, "resync", b"", BasicProperties::default())
        .await;
    assert_eq!(next(&mut feed).await, Feed::Connected);
    shutdown.cancel();
    fleet.clean_up(&[]).await;
}

#[tokio::test]
async fn any_number_of_events_wakes_up() {
    let fleet = Fleet::new().await;
    let shutdown = CancellationToken::new();
    let bindings = &["task.*.scheduled"];
    let wake = wakeups(fleet.config.clone(), bindings, shutdown.clone());
    soon("the wake-up at the connection", wake.notified()).await;
    let events = EventPublisher::spawn(fleet.config.clone(), "test", shutdown.clone());
    for _ in 0..3 {
        events.tasks((0..5000).map(|_| task(TaskStatus::Scheduled)));
        soon("a wake-up", wake.notified()).await;
    }
    // Several messages, so perhaps more than one wake-up, but an end to them: the queue holds one.
    let running = [task(TaskStatus::Running)];
    events.tasks(running);
    shutdown.cancel();
    soon("the publisher's stop", events.stopped()).await;
    fleet.clean_up(&[]).await;
}
