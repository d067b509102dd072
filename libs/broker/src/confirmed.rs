//! Publishes with confirms and `mandatory` over one connection of its own, and says of each message what became of it.
//!
//! Nothing is sent twice from here: a message without a confirm may or may not have arrived, and only the caller
//! knows whether it may be repeated.

use std::collections::HashSet;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt, poll};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection, Event};
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, info, warn};

use crate::connection::{CONFIRM_TIMEOUT, Frames, answered, close, open};
use crate::topology::short;
use crate::{BrokerConfig, Error};
use taskmaster_runtime::Backoff;

/// What became of one published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// RabbitMQ has it in its queue.
    Confirmed,
    /// There was no such queue.
    Returned,
    /// Not known: RabbitMQ went away, took too long, was blocked, or said no.
    Unconfirmed,
}

/// A message for a queue, by way of the default exchange.
pub(crate) struct Outgoing {
    pub(crate) queue: String,
    pub(crate) body: Vec<u8>,
    pub(crate) properties: BasicProperties,
}

/// The connection, opened when it is first needed and again after it was lost.
pub(crate) struct ConfirmedPublisher {
    config: BrokerConfig,
    name: String,
    frames: Frames,
    link: Option<Link>,
    backoff: Backoff,
    next_attempt_at: Instant,
}

struct Link {
    connection: Connection,
    channel: Channel,
    /// A channel with publishes that were given up: their confirms may still come.
    spent: bool,
    events: Pin<Box<dyn Stream<Item = Event> + Send>>,
}

impl ConfirmedPublisher {
    pub(crate) fn new(config: BrokerConfig, name: &str, frames: Frames) -> Self {
        Self {
            config,
            name: name.to_owned(),
            frames,
            link: None,
            backoff: Backoff::default(),
            next_attempt_at: Instant::now(),
        }
    }

    /// RabbitMQ said that it takes no messages for now.
    pub(crate) fn blocked(&self) -> bool {
        self.link.as_ref().is_some_and(Link::blocked)
    }

    /// Connected and not blocked, as far as is known.
    pub(crate) fn is_ready(&self) -> bool {
        self.link
            .as_ref()
            .is_some_and(|link| link.connection.status().connected() && !link.blocked())
    }

    /// Waits until it is connected and not blocked.
    pub(crate) async fn ensure_ready(&mut self) {
        loop {
            if self.blocked() {
                if let Some(link) = &mut self.link {
                    link.next_change().await;
                }
            } else if self.channel().await.is_ok() {
                return;
            } else {
                sleep_until(self.next_attempt_at).await;
            }
        }
    }

    /// A working channel. Fails at once while the pause after a failed attempt lasts.
    pub(crate) async fn channel(&mut self) -> Result<&Channel, Error> {
        self.link().await.map(|link| &link.channel)
    }

    pub(crate) fn config(&self) -> &BrokerConfig {
        &self.config
    }

    /// Publishes all, waits for all confirms, and tells for each message, in the same order, what became of it.
    ///
    /// Takes at most [`CONFIRM_TIMEOUT`]. Messages for one queue arrive in their order.
    pub(crate) async fn publish(
        &mut self,
        messages: Vec<Outgoing>,
    ) -> Result<Vec<Delivery>, Error> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        if self.blocked() {
            return Ok(vec![Delivery::Unconfirmed; messages.len()]);
        }
        let deadline = Instant::now() + CONFIRM_TIMEOUT;
        let address = self.config.redacted();
        let link = match timeout_at(deadline, self.link()).await {
            Ok(link) => link?,
            Err(_) => {
                return Err(Error::Timeout {
                    address,
                    after: CONFIRM_TIMEOUT,
                });
            }
        };
        let (deliveries, end) = link.publish(messages, deadline).await?;
        match end {
            End::Complete => {}
            End::Blocked => {
                warn!(
                    broker.address = address,
                    "RabbitMQ is short of memory or disk space and takes no messages"
                );
                // Kept, because only this connection is told when it is over.
                link.spent = true;
            }
            End::Broken => self.link = None,
        }
        Ok(deliveries)
    }

    /// Says goodbye to RabbitMQ.
    pub(crate) async fn close(self) {
        if let Some(link) = self.link {
            close(&link.connection).await;
        }
    }

    async fn link(&mut self) -> Result<&mut Link, Error> {
        if self
            .link
            .as_ref()
            .is_some_and(|link| !link.connection.status().connected())
        {
            self.link = None;
        }
        if let Some(link) = &mut self.link
            && (link.spent || !link.channel.status().connected())
        {
            match answered(&self.config, confirming_channel(&link.connection)).await {
                Ok(channel) => {
                    link.channel = channel;
                    link.spent = false;
                }
                Err(_) => self.link = None,
            }
        }
        if self.link.is_none() {
            self.link = Some(self.connect().await?);
        }
        self.link.as_mut().ok_or_else(|| Error::Away {
            address: self.config.redacted(),
        })
    }

    async fn connect(&mut self) -> Result<Link, Error> {
        if Instant::now() < self.next_attempt_at {
            return Err(Error::Away {
                address: self.config.redacted(),
            });
        }
        // Counted before the attempt: it may be given up from outside while it lasts.
        self.next_attempt_at = Instant::now() + self.backoff.next_pause();
        let result = Link::open(&self.config, &self.name, self.frames).await;
        let address = self.config.redacted();
        match &result {
            Ok(_) => {
                info!(
                    broker.address = address,
                    "connected to RabbitMQ: {}", self.name
                );
                self.backoff.reset();
                self.next_attempt_at = Instant::now();
            }
            Err(error) if self.backoff.failures() == 1 => {
                warn!(broker.address = address, %error, "no RabbitMQ for now: {}", self.name);
            }
            Err(error) => {
                debug!(broker.address = address, %error, "still no RabbitMQ: {}", self.name);
            }
        }
        result
    }
}

/// How a round of publishing ended.
enum End {
    Complete,
    Blocked,
    Broken,
}

impl Link {
    async fn open(config: &BrokerConfig, name: &str, frames: Frames) -> Result<Self, Error> {
        let connection = open(config, name, frames).await?;
        // Made before anything is published: what happens while nobody listens is not kept.
        let events = Box::pin(connection.events_listener());
        let channel = answered(config, confirming_channel(&connection)).await?;
        Ok(Self {
            connection,
            channel,
            spent: false,
            events,
        })
    }

    fn blocked(&self) -> bool {
        self.connection.status().connected() && self.connection.status().blocked()
    }

    /// Something about the connection changed. An event's content is not trusted: it may be an old one.
    async fn next_change(&mut self) {
        tokio::select! {
            _ = self.events.next() => {}
            // In case the connection ends without an event.
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }

    async fn publish(
        &mut self,
        messages: Vec<Outgoing>,
        deadline: Instant,
    ) -> Result<(Vec<Delivery>, End), Error> {
        let queues: Vec<ShortString> = messages
            .iter()
            .map(|message| short(&message.queue))
            .collect::<Result<_, _>>()?;
        let mut deliveries = vec![Delivery::Unconfirmed; messages.len()];
        let mut returned: HashSet<ShortString> = HashSet::new();
        let mut pending = FuturesUnordered::new();
        let mut end = End::Complete;
        let mut settle = |(index, outcome): (usize, lapin::Result<Confirmation>)| match outcome {
            Ok(confirmation) => {
                if confirmation.is_ack() {
                    deliveries[index] = Delivery::Confirmed;
                }
                // lapin hands a returned message to some confirm of its round, not always to its own.
                if let Some(message) = confirmation.take_message() {
                    returned.insert(message.routing_key.clone());
                }
                true
            }
            Err(_) => false,
        };
        // Polling each once, in turn, writes them in their order before any confirm is awaited.
        for (index, (message, queue)) in messages.into_iter().zip(&queues).enumerate() {
            let mut sending = Box::pin(publish_one(&self.channel, index, queue.clone(), message));
            match poll!(&mut sending) {
                Poll::Pending => pending.push(sending),
                Poll::Ready(outcome) => {
                    if !settle(outcome) {
                        end = End::Broken;
                    }
                }
            }
        }
        while !pending.is_empty() {
            tokio::select! {
                biased;
                Some(outcome) = pending.next() => {
                    if !settle(outcome) {
                        end = End::Broken;
                    }
                }
                _ = self.events.next(), if !self.connection.status().blocked() => {}
                () = sleep_until(deadline) => {
                    end = End::Broken;
                    break;
                }
            }
            if self.connection.status().blocked() {
                end = End::Blocked;
                break;
            }
        }
        for (delivery, queue) in deliveries.iter_mut().zip(&queues) {
            if *delivery == Delivery::Confirmed && returned.contains(queue) {
                *delivery = Delivery::Returned;
            }
        }
        Ok((deliveries, end))
    }
}

async fn publish_one(
    channel: &Channel,
    index: usize,
    queue: ShortString,
    message: Outgoing,
) -> (usize, lapin::Result<Confirmation>) {
    let options = BasicPublishOptions {
        mandatory: true,
        ..Default::default()
    };
    let outcome = async {
        channel
            .basic_publish("".into(), queue, options, &message.body, message.properties)
            .await?
            .await
    };
    (index, outcome.await)
}

pub(crate) async fn confirming_channel(connection: &Connection) -> Result<Channel, Error> {
    let channel = connection.create_channel().await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    Ok(channel)
}
