//! The coordinator's side of the workers' queues.

use std::collections::HashSet;

use lapin::BasicProperties;
use tracing::debug;

use crate::confirmed::{ConfirmedPublisher, Outgoing};
use crate::connection::{Frames, answered};
use crate::messages::encode;
use crate::topology::declare_worker;
use crate::{BrokerConfig, Delivery, Error, Names, WorkerMessage};

/// The delivery mode of a message that need not survive RabbitMQ: Postgres knows what it held.
pub(crate) const TRANSIENT: u8 = 1;

/// Publishes to the workers' queues, over a connection of its own that is opened when it is first needed.
pub struct AssignmentPublisher {
    names: Names,
    publisher: ConfirmedPublisher,
}

impl AssignmentPublisher {
    /// Does not connect yet.
    #[must_use]
    pub fn new(config: &BrokerConfig) -> Self {
        Self {
            names: config.names(),
            publisher: ConfirmedPublisher::new(
                config.clone(),
                "taskmaster coordinator: assignments",
                Frames::Small,
            ),
        }
    }

    /// Waits until RabbitMQ is there and takes messages. Claim nothing before.
    pub async fn ensure_ready(&mut self) {
        self.publisher.ensure_ready().await;
    }

    /// Connected and not blocked, as far as is known without asking.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.publisher.is_ready()
    }

    /// RabbitMQ is out of memory or disk space. It says so only to those who publish, so the first
    /// messages after that are [`Delivery::Unconfirmed`].
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.publisher.blocked()
    }

    /// Publishes each message to the named worker's queue and tells, in the same order, what became of it.
    ///
    /// Whatever is not [`Delivery::Confirmed`] has to be released; it may still arrive, with a lease that
    /// then no longer holds. A queue that did not exist is declared, so that the next message finds it.
    /// Takes 5 s at most, about 10 when it has to connect first and nothing answers.
    ///
    /// # Errors
    /// When there is no connection and none can be made: then nothing was sent.
    pub async fn publish<N: AsRef<str>>(
        &mut self,
        messages: &[(N, WorkerMessage)],
    ) -> Result<Vec<Delivery>, Error> {
        let outgoing = messages
            .iter()
            .map(|(worker, message)| {
                Ok(Outgoing {
                    queue: self.names.worker(worker.as_ref()),
                    body: encode(message)?,
                    properties: properties(),
                })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        let deliveries = self.publisher.publish(outgoing).await?;
        let missing: HashSet<&str> = messages
            .iter()
            .zip(&deliveries)
            .filter(|(_, delivery)| **delivery == Delivery::Returned)
            .map(|((worker, _), _)| worker.as_ref())
            .collect();
        for worker in missing {
            self.repair(worker).await;
        }
        Ok(deliveries)
    }

    async fn repair(&mut self, worker: &str) {
        let names = self.names.clone();
        debug!(
            worker.name = worker,
            "declares the queue of a worker that had none"
        );
        let config = self.publisher.config().clone();
        let declared =
            async { declare_worker(self.publisher.channel().await?, &names, worker).await };
        if let Err(error) = answered(&config, declared).await {
            debug!(worker.name = worker, %error, "the worker's queue was not declared");
        }
    }
}

/// The properties of every message to a worker.
pub(crate) fn properties() -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(TRANSIENT)
        .with_content_type("application/json".into())
}
