//! Submits over AMQP, as a producer in any language would.

use lapin::BasicProperties;

use crate::confirmed::{ConfirmedPublisher, Outgoing};
use crate::connection::{Frames, answered};
use crate::topology::declare_shared;
use crate::{BrokerConfig, Delivery, Error, Names};

const PERSISTENT: u8 = 2;

/// Publishes submissions: persistent, confirmed, and never into nothing.
pub struct SubmissionPublisher {
    names: Names,
    publisher: ConfirmedPublisher,
}

impl SubmissionPublisher {
    /// Does not connect yet.
    #[must_use]
    pub fn new(config: &BrokerConfig) -> Self {
        let name = "taskmaster: submits tasks";
        Self {
            names: config.names(),
            publisher: ConfirmedPublisher::new(config.clone(), name, Frames::Small),
        }
    }

    /// Publishes each body, one task or an array of tasks as JSON, and tells what became of each.
    /// Declares the queue if nobody has yet.
    ///
    /// # Errors
    /// When there is no connection and none can be made: then nothing was sent.
    pub async fn publish(&mut self, bodies: &[Vec<u8>]) -> Result<Vec<Delivery>, Error> {
        let deliveries = self.publisher.publish(self.messages(bodies)).await?;
        if !deliveries.contains(&Delivery::Returned) {
            return Ok(deliveries);
        }
        let config = self.publisher.config().clone();
        let declared = async { declare_shared(self.publisher.channel().await?, &self.names).await };
        answered(&config, declared).await?;
        let returned = |index: &usize| deliveries[*index] == Delivery::Returned;
        let again: Vec<usize> = (0..bodies.len()).filter(returned).collect();
        let bodies: Vec<Vec<u8>> = again.iter().map(|index| bodies[*index].clone()).collect();
        let mut result = deliveries;
        let second = self.publisher.publish(self.messages(&bodies)).await?;
        for (index, delivery) in again.into_iter().zip(second) {
            result[index] = delivery;
        }
        Ok(result)
    }

    fn messages(&self, bodies: &[Vec<u8>]) -> Vec<Outgoing> {
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into());
        bodies
            .iter()
            .map(|body| Outgoing {
                queue: self.names.submissions(),
                body: body.clone(),
                properties: properties.clone(),
            })
            .collect()
    }
}
