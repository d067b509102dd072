//! What a command prints: as text, and followed.

use serde_json::{Value, json};
use taskmaster_store::output::Stream;

use crate::answer::Events;
use crate::api::TestApi;
use crate::stand_in::StandIn;

async fn next_text(events: &mut Events) -> (Value, Value, String) {
    let piece = events.next_named("output").await;
    let text = piece["text"].as_str().unwrap().to_owned();
    (piece["attempt"].clone(), piece["stream"].clone(), text)
}

#[tokio::test]
async fn text_has_all_streams_in_order_and_whole_characters() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "x"})).await;
    let path = format!("/api/v1/tasks/{id}/output");
    let answer = api.get(&path).await;
    assert_eq!((answer.status, answer.text()), (200, ""));

    let worker = StandIn::register(api.pool(), "worker-1").await;
    let task = worker.start().await;
    let euro = "€".as_bytes();
    for (seq, stream, data) in [
        (0, Stream::Stdout, [b"one ", &euro[..1]].concat()),
        (1, Stream::Stderr, b"[two]".to_vec()),
        (2, Stream::Stdout, [&euro[1..], b"\n"].concat()),
        (3, Stream::Note, b"cut\n".to_vec()),
        (7, Stream::Stdout, b"bad \xff, open \xe2".to_vec()),
    ] {
        worker.print(task, seq, stream, &data).await;
    }
    let answer = api.get(&path).await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(
        answer.text(),
        "one [two]€\ncut\nbad \u{fffd}, open \u{fffd}"
    );
}

#[tokio::test]
async fn text_of_another_attempt() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "x", "max_attempts": 2})).await;
    let worker = StandIn::register(api.pool(), "worker-1").await;
    let first = worker.start().await;
    worker.print(first, 0, Stream::Stdout, b"first").await;
    worker.fail_and_try_again(first).await;
    let path = format!("/api/v1/tasks/{id}/output");
    // Until the next one starts, the last one is the latest.
    assert_eq!(api.get(&path).await.text(), "first");
    let second = worker.start().await;
    worker.print(second, 0, Stream::Stdout, b"second").await;
    assert_eq!(api.get(&path).await.text(), "second");
    assert_eq!(api.get(&format!("{path}?attempt=1")).await.text(), "first");
    assert_eq!(api.get(&format!("{path}?attempt=2")).await.text(), "second");
    let problem = api.get(&format!("{path}?attempt=3")).await.problem(404);
    assert!(problem["detail"].as_str().unwrap().contains("attempt 3"));
    api.get(&format!("{path}/stream?attempt=3"))
        .await
        .problem(404);
}

#[tokio::test]
async fn more_than_one_page_of_output_is_complete() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "x"})).await;
    let worker = StandIn::register(api.pool(), "worker-1").await;
    let task = worker.start().await;
    let mut expected = String::new();
    for seq in 0..600 {
        let line = format!("line {seq}\n");
        worker
            .print(task, seq, Stream::Stdout, line.as_bytes())
            .await;
        expected += &line;
    }
    assert_eq!(
        api.get(&format!("/api/v1/tasks/{id}/output")).await.text(),
        expected
    );
}

#[tokio::test]
async fn the_stream_goes_from_before_the_start_to_the_end() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "x"})).await;
    let mut events = api
        .follow(&format!("/api/v1/tasks/{id}/output/stream"))
        .await;
    let worker = StandIn::register(api.pool(), "worker-1").await;
    let task = worker.start().await;
    let euro = "€".as_bytes();
    worker
        .print(task, 0, Stream::Stdout, &[b"a", &euro[..2]].concat())
        .await;
    assert_eq!(
        next_text(&mut events).await,
        (json!(1), json!("stdout"), "a".to_owned())
    );
    worker.print(task, 1, Stream::Stdout, &euro[2..]).await;
    assert_eq!(next_text(&mut events).await.2, "€");
    worker.print(task, 2, Stream::Stderr, b"last words").await;
    worker.fail(task).await;
    assert_eq!(
        next_text(&mut events).await,
        (json!(1), json!("stderr"), "last words".to_owned())
    );
    let end = events.next_named("end").await;
    let expected =
        json!({"status": "failed", "exit_code": 3, "signal": null, "error_message": "exit code 3"});
    assert_eq!(end, expected);
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn the_stream_goes_on_with_every_next_attempt() {
    let api = TestApi::start().await;
    let id = api.submit(json!({"command": "x", "max_attempts": 3})).await;
    let worker = StandIn::register(api.pool(), "worker-1").await;
    let path = format!("/api/v1/tasks/{id}/output/stream");
    let first = worker.start().await;
    worker.print(first, 0, Stream::Stdout, b"first").await;
    let mut all = api.follow(&path).await;
    let mut only_first = api.follow(&format!("{path}?attempt=1")).await;
    assert_eq!(next_text(&mut all).await.2, "first");
    assert_eq!(next_text(&mut only_first).await.2, "first");
    // The second comes and goes while nobody looks.
    worker.fail_and_try_again(first).await;
    let second = worker.start().await;
    worker.print(second, 0, Stream::Stdout, b"second").await;
    worker.fail_and_try_again(second).await;
    let third = worker.start().await;
    worker.print(third, 0, Stream::Stdout, b"third").await;
    worker.complete(third).await;

    assert_eq!(
        next_text(&mut all).await,
        (json!(2), json!("stdout"), "second".to_owned())
    );
    assert_eq!(
        next_text(&mut all).await,
        (json!(3), json!("stdout"), "third".to_owned())
    );
    assert_eq!(all.next_named("end").await["status"], "completed");
    assert_eq!(all.next().await, None);

    let end = only_first.next_named("end").await;
    assert_eq!(
        (&end["status"], &end["exit_code"]),
        (&json!("failed"), &json!(3))
    );
    assert_eq!(only_first.next().await, None);
}

#[tokio::test]
async fn the_stream_of_a_task_that_never_started_ends_with_it() {
    let api = TestApi::start().await;
    let id = api
        .submit(json!({"command": "x", "delay_seconds": 3600}))
        .await;
    let mut events = api
        .follow(&format!("/api/v1/tasks/{id}/output/stream"))
        .await;
    api.ask(&format!("/api/v1/tasks/{id}/cancel"))
        .await
        .json(200);
    assert_eq!(events.next_named("end").await["status"], "cancelled");
    assert_eq!(events.next().await, None);
}
