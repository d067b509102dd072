//! An event stream (server-sent events) that connects again when it is cut.

use std::pin::Pin;

use eventsource_stream::{Event, Eventsource};
use futures_util::{Stream, StreamExt};
use reqwest::Response;
use taskmaster_runtime::Backoff;

use super::{Client, Error};

/// What comes out of a stream.
#[derive(Debug)]
pub(crate) enum Signal {
    /// Connected, for the first time or again: what happened before may have been missed, and may come twice.
    Connected,
    /// Cut, or the API is away; it is tried again.
    Lost,
    /// An event.
    Event(Event),
}

/// The events of one connection.
pub(crate) type Source = Pin<Box<dyn Stream<Item = Result<Event, String>> + Send>>;

/// The events of an answer.
pub(super) fn read(response: Response) -> Source {
    let events = response.bytes_stream().eventsource();
    Box::pin(events.map(|item| item.map_err(|error| error.to_string())))
}

/// A followed stream.
pub(crate) struct Events {
    client: Client,
    path: String,
    query: Vec<(&'static str, String)>,
    source: Option<Source>,
    backoff: Backoff,
    /// Whether it was ever connected: an API that is not there from the start is an error, one that goes away comes back.
    was_connected: bool,
    /// Whether the loss was told.
    is_lost: bool,
}

impl Events {
    pub(super) fn new(client: Client, path: String, query: Vec<(&'static str, String)>) -> Self {
        Self {
            client,
            path,
            query,
            source: None,
            backoff: Backoff::default(),
            was_connected: false,
            is_lost: false,
        }
    }

    /// The next signal. May be dropped and called again.
    ///
    /// # Errors
    /// When the first connection fails, or the API refuses a later one.
    pub(crate) async fn next(&mut self) -> Result<Signal, Error> {
        loop {
            if let Some(source) = &mut self.source {
                match source.next().await {
                    Some(Ok(event)) => {
                        self.backoff.reset();
                        return Ok(Signal::Event(event));
                    }
                    // Whatever the reason: it is asked for again.
                    Some(Err(_)) | None => {
                        self.source = None;
                        self.backoff.wait().await;
                    }
                }
            }
            match self.client.download(&self.path, &self.query).await {
                Ok(response) => {
                    self.source = Some(read(response));
                    self.was_connected = true;
                    self.is_lost = false;
                    return Ok(Signal::Connected);
                }
                Err(error) if self.was_connected && error.may_pass() => {
                    if !self.is_lost {
                        self.is_lost = true;
                        return Ok(Signal::Lost);
                    }
                    self.backoff.wait().await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request on `listener` with this, and closes the connection.
    async fn answer(listener: &TcpListener, head: &str, body: &str) {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        assert!(connection.read(&mut request).await.unwrap() > 0);
        let text = format!("HTTP/1.1 {head}\r\nconnection: close\r\n\r\n{body}");
        connection.write_all(text.as_bytes()).await.unwrap();
        connection.shutdown().await.unwrap();
    }

    async fn next(events: &mut Events) -> String {
        match events.next().await {
            Ok(Signal::Connected) => "connected".to_owned(),
            Ok(Signal::Lost) => "lost".to_owned(),
            Ok(Signal::Event(event)) => format!("{} {}", event.event, event.data),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn a_stream_that_is_cut_comes_back_until_it_is_refused() {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let stream = "200 OK\r\ncontent-type: text/event-stream";
            // The second event is cut in the middle: it never was one.
            answer(&listener, stream, "event: a\ndata: 1\n\nevent: b\nda").await;
            answer(&listener, "503 Service Unavailable", r#"{"title":"away"}"#).await;
            answer(&listener, stream, ": a comment\n\nevent: b\ndata: 2\n\n").await;
            answer(&listener, "404 Not Found", r#"{"title":"gone"}"#).await;
        });
        let client = Client::new(&format!("http://{address}").parse().unwrap()).unwrap();
        let mut events = client.events("/events", &[]);
        for expected in ["connected", "a 1", "lost", "connected", "b 2", "gone"] {
            assert_eq!(next(&mut events).await, expected);
        }
        server.await.unwrap();
    }

    #[tokio::test]
    async fn an_api_that_was_never_there_is_an_error() {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let client = Client::new(&format!("http://{address}").parse().unwrap()).unwrap();
        let told = next(&mut client.events("/events", &[])).await;
        assert!(
            told.contains("taskmaster up") && told.contains(&address.to_string()),
            "{told}"
        );
    }
}
