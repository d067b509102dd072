//! The coordinator's side of the queue where AMQP producers publish tasks.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::message::Delivery as Received;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, Consumer};
use tokio::time::timeout;

use crate::confirmed::{ConfirmedPublisher, Outgoing};
use crate::connection::{Frames, answered, close, open};
use crate::error::{INTERNAL_ERROR, reply_code};
use crate::topology::{declare_rejected, declare_shared, short};
use crate::{BrokerConfig, Delivery, Error, Names, rejection};

/// How many submissions may be here without an acknowledgement. They wait, each up to its message size, in memory.
const PREFETCH: u16 = 100;

/// How long nothing may come before it is consumed anew.
const IDLE: Duration = Duration::from_secs(2);

/// A message that a producer published, not acknowledged yet.
#[derive(Debug)]
pub struct Submission {
    /// The body, as it came.
    pub body: Vec<u8>,
    /// The producer's id of the message.
    pub message_id: Option<String>,
    /// What the producer says the body is.
    pub content_type: Option<String>,
    /// It was delivered before and not acknowledged: what it asks for may be done already.
    pub redelivered: bool,
    tag: u64,
    properties: BasicProperties,
}

impl From<Received> for Submission {
    fn from(delivery: Received) -> Self {
        let text =
            |value: &Option<lapin::types::ShortString>| value.as_ref().map(ToString::to_string);
        Self {
            message_id: text(delivery.properties.message_id()),
            content_type: text(delivery.properties.content_type()),
            redelivered: delivery.redelivered,
            tag: delivery.delivery_tag,
            properties: delivery.properties,
            body: delivery.data,
        }
    }
}

/// Consumes submissions over a connection of its own.
///
/// It lasts as long as its connection and channel. After any error, drop it and [`connect`](Self::connect) again:
/// what was not acknowledged is delivered again, and can no longer be acknowledged from here. That also happens
/// when a submission waits for its acknowledgement longer than RabbitMQ's `consumer_timeout`, 30 minutes.
pub struct SubmissionConsumer {
    names: Names,
    connection: Connection,
    channel: Channel,
    consumer: Consumer,
    /// Delivered and neither acknowledged nor rejected.
    outstanding: BTreeSet<u64>,
    /// A connection of its own: RabbitMQ blocks those who publish when it is out of memory, and acknowledgements
    /// must still get through.
    rejects: ConfirmedPublisher,
}

impl SubmissionConsumer {
    /// Connects, declares the queues, and starts to consume.
    ///
    /// # Errors
    /// When RabbitMQ cannot be reached or refuses.
    pub async fn connect(config: &BrokerConfig) -> Result<Self, Error> {
        let names = config.names();
        let name = "taskmaster coordinator: submissions";
        let connection = open(config, name, Frames::AsOffered).await?;
        let consuming = async {
            let channel = connection.create_channel().await?;
            declare_shared(&channel, &names).await?;
            let consumer = consume(&channel, &names).await?;
            Ok((channel, consumer))
        };
        let (channel, consumer) = answered(config, consuming).await?;
        let name = "taskmaster coordinator: rejected submissions";
        let rejects = ConfirmedPublisher::new(config.clone(), name, Frames::AsOffered);
        Ok(Self {
            names,
            connection,
            channel,
            consumer,
            outstanding: BTreeSet::new(),
            rejects,
        })
    }

    /// Waits for a submission and returns it with whatever else has arrived, at most `max`.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the connection or channel closed or the queue was deleted.
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<Submission>, Error> {
        let first = loop {
            match timeout(IDLE, self.consumer.next()).await {
                Ok(delivery) => break delivery.ok_or_else(|| self.ended())??,
                Err(_) => self.renew().await?,
            }
        };
        let mut batch = Vec::new();
        let mut next = Some(first);
        while let Some(delivery) = next.take() {
            self.outstanding.insert(delivery.delivery_tag);
            batch.push(Submission::from(delivery));
            if batch.len() < max {
                next = self.consumer.next().now_or_never().flatten().transpose()?;
            }
        }
        Ok(batch)
    }

    /// Consumes anew, on another channel. RabbitMQ 3.10 does not tell a consumer that its queue was deleted when it is
    /// declared again in the same moment: it counts the consumer as one of the new queue and gives it nothing.
    async fn renew(&mut self) -> Result<(), Error> {
        // What is here can only be acknowledged on the channel on which it came.
        if !self.outstanding.is_empty() {
            return Ok(());
        }
        let renewed = async {
            self.channel.close(200, "OK".into()).await?;
            let channel = self.connection.create_channel().await?;
            let consumer = consume(&channel, &self.names).await?;
            Ok((channel, consumer))
        };
        (self.channel, self.consumer) = answered(self.rejects.config(), renewed).await?;
        Ok(())
    }

    fn ended(&self) -> Error {
        Error::ConsumerEnded {
            queue: self.names.submissions(),
        }
    }

    /// Whether what was received can still be acknowledged, as far as is known without asking.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.channel.status().connected()
    }

    /// Acknowledges submissions: what they ask for is committed, and they are gone from RabbitMQ.
    ///
    /// # Errors
    /// When the channel is closed; then they will be delivered again.
    pub async fn ack(&mut self, batch: &[Submission]) -> Result<(), Error> {
        let mut tags: BTreeSet<u64> = batch.iter().map(|submission| submission.tag).collect();
        tags.retain(|tag| self.outstanding.contains(tag));
        // One acknowledgement covers everything up to the oldest that is to be kept.
        let oldest_kept = self
            .outstanding
            .difference(&tags)
            .next()
            .copied()
            .unwrap_or(u64::MAX);
        let rest = tags.split_off(&oldest_kept);
        if let Some(last) = tags.last() {
            self.channel
                .basic_ack(*last, BasicAckOptions { multiple: true })
                .await?;
        }
        for tag in &rest {
            self.channel
                .basic_ack(*tag, BasicAckOptions::default())
                .await?;
        }
        self.outstanding
            .retain(|tag| !tags.contains(tag) && !rest.contains(tag));
        Ok(())
    }

    /// Moves a submission that is not valid to the queue of rejected ones, with the reason in the header
    /// `x-taskmaster-reason`, and acknowledges it once that queue has it.
    ///
    /// # Errors
    /// When RabbitMQ does not take it; then it is not acknowledged either and may be tried again.
    pub async fn reject(&mut self, submission: Submission, reason: &str) -> Result<(), Error> {
        let mut taken = self.publish_rejected(&submission, reason).await?;
        if taken == Delivery::Returned {
            let config = self.rejects.config().clone();
            let declared =
                async { declare_rejected(self.rejects.channel().await?, &self.names).await };
            answered(&config, declared).await?;
            taken = self.publish_rejected(&submission, reason).await?;
        }
        if taken != Delivery::Confirmed {
            return Err(Error::NotTaken {
                queue: self.names.rejected(),
            });
        }
        self.ack(&[submission]).await
    }

    /// Stops consuming and closes both connections. What was not acknowledged goes back to the queue.
    pub async fn close(self) {
        close(&self.connection).await;
        self.rejects.close().await;
    }

    async fn publish_rejected(
        &mut self,
        submission: &Submission,
        reason: &str,
    ) -> Result<Delivery, Error> {
        let message = Outgoing {
            queue: self.names.rejected(),
            body: submission.body.clone(),
            properties: rejection::properties(&submission.properties, reason),
        };
        let deliveries = self.rejects.publish(vec![message]).await?;
        Ok(deliveries.first().copied().unwrap_or(Delivery::Unconfirmed))
    }
}

async fn consume(channel: &Channel, names: &Names) -> Result<Consumer, Error> {
    channel
        .basic_qos(PREFETCH, BasicQosOptions::default())
        .await?;
    let queue = short(&names.submissions())?;
    let options = BasicConsumeOptions::default();
    channel
        .basic_consume(queue, "".into(), options, FieldTable::default())
        .await
        .map_err(|error| match reply_code(&error) {
            Some(INTERNAL_ERROR) => Error::QueueBroken {
                queue: names.submissions(),
            },
            _ => error.into(),
        })
}
