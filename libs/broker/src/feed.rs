//! Listens to events: for the live view of the dashboard, and to wake up whoever waits for a change.

use std::sync::Arc;

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::connection::{Frames, answered, close, open};
use crate::events::RESYNC;
use crate::reconnect::Reconnect;
use crate::topology::declare_subscriber;
use crate::{BrokerConfig, Error, TaskEvent, WorkerEvent};

/// How many messages a subscriber may fall behind before it is told to start over.
const FEED_CAPACITY: usize = 1024;

/// What a subscriber gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Feed {
    /// Connected, or something was missed: whatever was known may be old, ask again.
    Connected,
    /// RabbitMQ is out of reach: nothing is told until the next [`Feed::Connected`].
    Lost,
    /// These tasks changed, in this order. Events of different processes may arrive in another order than they
    /// happened.
    Tasks(Vec<TaskEvent>),
    /// These workers changed.
    Workers(Vec<WorkerEvent>),
}

/// Subscribes to events whose routing key matches one of `bindings` (`task.#`, `worker.*.offline`, …), until
/// `shutdown` or until the receiver is dropped. Reconnects by itself.
///
/// `max_length` bounds what RabbitMQ keeps while this process does not read. A receiver that does not read fast
/// enough misses messages, and then gets [`Feed::Connected`]. What comes while nothing `is_wanted` is dropped unread:
/// under load, reading was a sixth of the API's processor time.
#[must_use]
pub fn subscribe(
    config: BrokerConfig,
    bindings: &[&str],
    max_length: Option<i32>,
    is_wanted: impl Fn() -> bool + Send + Sync + 'static,
    shutdown: CancellationToken,
) -> mpsc::Receiver<Feed> {
    let (feed, receiver) = mpsc::channel(FEED_CAPACITY);
    let subscription = Subscription::new("taskmaster: live events", config, bindings, max_length);
    tokio::spawn(async move {
        let mut reconnect = Reconnect::new("live events", &subscription.config, &shutdown);
        loop {
            let end = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = feed.closed() => return,
                end = subscription.feed(&feed, &is_wanted, &mut reconnect) => end,
            };
            // Said once, however often it is tried. A receiver that is gone is seen above.
            if reconnect.is_first_failure() {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    _ = feed.send(Feed::Lost) => {}
                }
            }
            if !reconnect.pause(&end).await {
                return;
            }
        }
    });
    receiver
}

/// Wakes up whoever waits on the result whenever an event matches one of `bindings`, and after each (re)connection.
/// Any number of events while nobody looked is one wake-up. Stops at `shutdown`.
#[must_use]
pub fn wakeups(
    config: BrokerConfig,
    bindings: &[&str],
    shutdown: CancellationToken,
) -> Arc<Notify> {
    let notify = Arc::new(Notify::new());
    let waker = notify.clone();
    let subscription = Subscription::new("taskmaster: wake-ups", config, bindings, Some(1));
    tokio::spawn(async move {
        let mut reconnect = Reconnect::new("wake-ups", &subscription.config, &shutdown);
        loop {
            let end = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                end = subscription.wake(&waker, &mut reconnect) => end,
            };
            if !reconnect.pause(&end).await {
                return;
            }
        }
    });
    notify
}

struct Subscription {
    name: &'static str,
    config: BrokerConfig,
    bindings: Vec<String>,
    max_length: Option<i32>,
}

impl Subscription {
    fn new(
        name: &'static str,
        config: BrokerConfig,
        bindings: &[&str],
        max_length: Option<i32>,
    ) -> Self {
        let bindings = bindings
            .iter()
            .copied()
            .chain([RESYNC])
            .map(str::to_owned)
            .collect();
        Self {
            name,
            config,
            bindings,
            max_length,
        }
    }

    /// Feeds until the connection ends.
    async fn feed(
        &self,
        feed: &mpsc::Sender<Feed>,
        is_wanted: &(impl Fn() -> bool + Sync),
        reconnect: &mut Reconnect,
    ) -> Error {
        let consuming = BasicConsumeOptions {
            no_ack: true,
            ..Default::default()
        };
        let (connection, _channel, mut consumer) = match self.open(consuming).await {
            Ok(opened) => opened,
            Err(error) => return error,
        };
        reconnect.connected();
        // Whoever did not take a message is told so as soon as there is room again.
        let mut behind = feed.try_send(Feed::Connected).is_err();
        loop {
            let delivery = tokio::select! {
                biased;
                Ok(room) = feed.reserve(), if behind => {
                    room.send(Feed::Connected);
                    behind = false;
                    continue;
                }
                delivery = consumer.next() => match delivery {
                    Some(Ok(delivery)) => delivery,
                    Some(Err(error)) => return error.into(),
                    None => break,
                },
            };
            if !behind
                && is_wanted()
                && let Some(message) = read(delivery.routing_key.as_str(), &delivery.data)
            {
                behind = matches!(feed.try_send(message), Err(TrySendError::Full(_)));
            }
        }
        close(&connection).await;
        self.ended()
    }

    /// Wakes until the connection ends. With one message in the queue and one on its way, RabbitMQ drops the rest.
    async fn wake(&self, waker: &Notify, reconnect: &mut Reconnect) -> Error {
        let (connection, channel, mut consumer) =
            match self.open(BasicConsumeOptions::default()).await {
                Ok(opened) => opened,
                Err(error) => return error,
            };
        reconnect.connected();
        waker.notify_one();
        while let Some(delivery) = consumer.next().await {
            let acknowledged = match delivery {
                Ok(delivery) => {
                    waker.notify_one();
                    channel
                        .basic_ack(delivery.delivery_tag, BasicAckOptions::default())
                        .await
                }
                Err(error) => Err(error),
            };
            if let Err(error) = acknowledged {
                return error.into();
            }
        }
        close(&connection).await;
        self.ended()
    }

    async fn open(
        &self,
        consuming: BasicConsumeOptions,
    ) -> Result<(Connection, Channel, Consumer), Error> {
        let connection = open(&self.config, self.name, Frames::Small).await?;
        let subscribing = answered(&self.config, async {
            let channel = connection.create_channel().await?;
            let names = self.config.names();
            let queue =
                declare_subscriber(&channel, &names, &self.bindings, self.max_length).await?;
            channel.basic_qos(1, BasicQosOptions::default()).await?;
            let consumer = channel
                .basic_consume(queue, "".into(), consuming, FieldTable::default())
                .await?;
            Ok((channel, consumer))
        });
        let (channel, consumer) = subscribing.await?;
        Ok((connection, channel, consumer))
    }

    fn ended(&self) -> Error {
        Error::ConsumerEnded {
            queue: self.config.names().events(),
        }
    }
}

fn read(routing_key: &str, body: &[u8]) -> Option<Feed> {
    let message = match routing_key.split('.').next() {
        Some("task") => serde_json::from_slice(body).map(Feed::Tasks),
        Some("worker") => serde_json::from_slice(body).map(Feed::Workers),
        Some(RESYNC) => Ok(Feed::Connected),
        _ => return None,
    };
    message
        .inspect_err(|error| debug!(routing_key, %error, "skipped an event that is none of ours"))
        .ok()
}
