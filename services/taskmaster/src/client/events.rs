//! An event stream (server-sent events) that connects again when it is cut.

use std::pin::Pin;

use eventsource_stream::{Event, Eventsource};
use futures_util::{Stream, StreamExt};
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

type Source = Pin<Box<dyn Stream<Item = Result<Event, String>> + Send>>;

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
                    let source = response.bytes_stream().eventsource();
                    self.source = Some(Box::pin(
                        source.map(|item| item.map_err(|error| error.to_string())),
                    ));
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

    /// Ends it.
    pub(crate) fn close(&mut self) {
        self.source = None;
    }
}
