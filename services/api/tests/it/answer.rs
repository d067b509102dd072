//! What came back.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Response};
use futures_util::{Stream, StreamExt};
use serde_json::Value;

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) async fn read(response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let reading = to_bytes(body, usize::MAX);
        Self {
            status: head.status.as_u16(),
            headers: head.headers,
            body: tokio::time::timeout(PATIENCE, reading)
                .await
                .unwrap()
                .unwrap(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).map(|value| value.to_str().unwrap());
        value.unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The JSON of an answer with this status.
    pub(crate) fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/json");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The problem of an answer with this status.
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["type"], "about:blank");
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        problem
    }
}

/// A stream of server-sent events.
pub(crate) struct Events {
    body: Pin<Box<dyn Stream<Item = Bytes>>>,
    unread: String,
}

impl Events {
    pub(crate) fn of(response: Response<Body>) -> Self {
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = response.into_body().into_data_stream();
        Self {
            body: Box::pin(body.map(Result::unwrap)),
            unread: String::new(),
        }
    }

    /// The next event, name and data; `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let field = |name| event.lines().find_map(|line| line.strip_prefix(name));
                let name = field("event: ").map(str::to_owned);
                let data = field("data: ").map(|data| serde_json::from_str(data).unwrap());
                self.unread = rest.to_owned();
                match name.zip(data) {
                    Some(event) => return Some(event),
                    // A comment.
                    None => continue,
                }
            }
            let bytes = tokio::time::timeout(PATIENCE, self.body.next())
                .await
                .expect("no event for a long time")?;
            self.unread += std::str::from_utf8(&bytes).unwrap();
        }
    }

    /// The next event, which must have this name.
    pub(crate) async fn next_named(&mut self, wanted: &str) -> Value {
        let (name, data) = self.next().await.expect("the stream ended");
        assert_eq!(name, wanted, "{data}");
        data
    }

    /// Reads the stream of changes until it tells them: RabbitMQ may be out of reach at first.
    pub(crate) async fn until_live(&mut self) {
        let (name, _) = self.next().await.expect("the stream ended");
        if name == "lost" {
            self.next_named("resync").await;
        } else {
            assert_eq!(name, "live");
        }
    }
}
