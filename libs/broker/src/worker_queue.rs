//! The worker's side of its queue.

use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::connection::{Frames, answered, close, open};
use crate::reconnect::Reconnect;
use crate::topology::{declare_shared, declare_worker, short};
use crate::{BrokerConfig, Error, WorkerMessage};

/// How many messages may be on their way. One carries all that a claim gave this worker, so this is ample.
const PREFETCH: u16 = 64;

/// Hands every message for this worker to `messages`, until `shutdown`, or until nobody receives them any more.
///
/// A message is acknowledged as soon as it is handed over, not when its tasks end: what a worker holds is
/// known to Postgres, and an acknowledgement that waits for a long task would run into RabbitMQ's time-out.
/// A lost connection or a deleted queue is made again; `connected` says whether there is one just now.
pub async fn consume_assignments(
    config: BrokerConfig,
    worker_name: String,
    messages: mpsc::Sender<WorkerMessage>,
    connected: watch::Sender<bool>,
    shutdown: CancellationToken,
) {
    let mut reconnect = Reconnect::new("this worker's assignments", &config, &shutdown);
    loop {
        let session = Session {
            config: &config,
            worker_name: &worker_name,
            messages: &messages,
            connected: &connected,
            shutdown: &shutdown,
        };
        let end = session.run(&mut reconnect).await;
        connected.send_replace(false);
        match end {
            Ok(()) => return,
            Err(error) => {
                if !reconnect.pause(&error).await {
                    return;
                }
            }
        }
    }
}

/// One connection's worth of consuming. Ends with `Ok` when it is time to stop.
struct Session<'a> {
    config: &'a BrokerConfig,
    worker_name: &'a str,
    messages: &'a mpsc::Sender<WorkerMessage>,
    connected: &'a watch::Sender<bool>,
    shutdown: &'a CancellationToken,
}

impl Session<'_> {
    async fn run(&self, reconnect: &mut Reconnect) -> Result<(), Error> {
        let name = format!("taskmaster worker {}: assignments", self.worker_name);
        let connection = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => return Ok(()),
            connection = open(self.config, &name, Frames::Small) => connection?,
        };
        let consuming = answered(self.config, async {
            let channel = connection.create_channel().await?;
            let consumer = self.subscribe(&channel).await?;
            Ok((channel, consumer))
        });
        let (channel, mut consumer) = consuming.await?;
        reconnect.connected();
        self.connected.send_replace(true);
        let end = self.forward(&channel, &mut consumer).await;
        if end.is_ok() {
            // Told to stop: RabbitMQ sends nothing more, and what was not handed over goes back to the queue.
            let cancel = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
            if timeout(Duration::from_secs(1), cancel).await.is_err() {
                warn!(
                    worker.name = self.worker_name,
                    "RabbitMQ did not answer the consumer's goodbye"
                );
            }
        }
        close(&connection).await;
        end
    }

    async fn subscribe(&self, channel: &Channel) -> Result<Consumer, Error> {
        let names = self.config.names();
        declare_shared(channel, &names).await?;
        declare_worker(channel, &names, self.worker_name).await?;
        channel
            .basic_qos(PREFETCH, BasicQosOptions::default())
            .await?;
        // Exclusive: a second worker of the same name must not take half of the messages.
        let options = BasicConsumeOptions {
            exclusive: true,
            ..Default::default()
        };
        let queue = short(&names.worker(self.worker_name))?;
        Ok(channel
            .basic_consume(queue, "".into(), options, FieldTable::default())
            .await?)
    }

    async fn forward(&self, channel: &Channel, consumer: &mut Consumer) -> Result<(), Error> {
        let ended = || Error::ConsumerEnded {
            queue: self.config.names().worker(self.worker_name),
        };
        loop {
            let first = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Ok(()),
                () = self.messages.closed() => return Ok(()),
                delivery = consumer.next() => delivery.ok_or_else(ended)??,
            };
            let mut handed_over = None;
            let mut next = Some(first);
            // Whatever is here already shares one acknowledgement.
            let mut open = true;
            while let Some(delivery) = next.take() {
                open = self.hand_over(&delivery.data).await;
                if !open {
                    break;
                }
                handed_over = Some(delivery.delivery_tag);
                next = consumer.next().now_or_never().flatten().transpose()?;
            }
            if let Some(last_tag) = handed_over {
                channel
                    .basic_ack(last_tag, BasicAckOptions { multiple: true })
                    .await?;
            }
            if !open {
                return Ok(());
            }
        }
    }

    /// False when nobody takes messages any more.
    async fn hand_over(&self, body: &[u8]) -> bool {
        match serde_json::from_slice(body) {
            Ok(message) => tokio::select! {
                biased;
                () = self.shutdown.cancelled() => false,
                sent = self.messages.send(message) => sent.is_ok(),
            },
            Err(error) => {
                warn!(worker.name = self.worker_name, %error, "dropped a message that is none of ours");
                true
            }
        }
    }
}
