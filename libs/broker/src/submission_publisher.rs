//! Submits over AMQP, as a producer in any language would.

use lapin::BasicProperties;

use crate::confirmed::{ConfirmedPublisher, Outgoing};
use crate::connection::{Frames, answered};
use crate::topology::{declare_shared, short};
use crate::{BrokerConfig, Delivery, Error, Names};

const PERSISTENT: u8 = 2;

/// A message that submits tasks.
#[derive(Debug, Clone)]
pub struct NewSubmission {
    /// Its id: with the same one it is taken in once, however often it is published. 1 to 255 visible ASCII characters.
    pub message_id: Option<String>,
    /// One task or an array of tasks as JSON.
    pub body: Vec<u8>,
}

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

    /// Publishes each submission, and tells what became of each. Declares the queue if nobody has yet.
    ///
    /// # Errors
    /// When an id is longer than 255 bytes, or there is no connection and none can be made: then nothing was sent.
    pub async fn publish(&mut self, submissions: &[NewSubmission]) -> Result<Vec<Delivery>, Error> {
        let messages = self.messages(submissions)?;
        let deliveries = self.publisher.publish(messages).await?;
        if !deliveries.contains(&Delivery::Returned) {
            return Ok(deliveries);
        }
        let config = self.publisher.config().clone();
        let declared = async { declare_shared(self.publisher.channel().await?, &self.names).await };
        answered(&config, declared).await?;
        let returned = |index: &usize| deliveries[*index] == Delivery::Returned;
        let again: Vec<usize> = (0..submissions.len()).filter(returned).collect();
        let returned: Vec<NewSubmission> = again
            .iter()
            .map(|index| submissions[*index].clone())
            .collect();
        let messages = self.messages(&returned)?;
        let mut result = deliveries;
        let second = self.publisher.publish(messages).await?;
        for (index, delivery) in again.into_iter().zip(second) {
            result[index] = delivery;
        }
        Ok(result)
    }

    fn messages(&self, submissions: &[NewSubmission]) -> Result<Vec<Outgoing>, Error> {
        let properties = BasicProperties::default()
            .with_delivery_mode(PERSISTENT)
            .with_content_type("application/json".into());
        let messages = submissions.iter().map(|submission| {
            let properties = match &submission.message_id {
                Some(id) => properties.clone().with_message_id(short(id)?),
                None => properties.clone(),
            };
            Ok(Outgoing {
                queue: self.names.submissions(),
                body: submission.body.clone(),
                properties,
            })
        });
        messages.collect()
    }
}
