//! Deleting the queues, for whoever breaks them.

use lapin::options::QueueDeleteOptions;

use crate::connection::{Frames, answered, close, open};
use crate::topology::short;
use crate::{BrokerConfig, Error};

/// Deletes every queue of the fleet, the shared ones and those of `workers`, with what is in them. For
/// `taskmaster chaos`.
///
/// # Errors
/// When RabbitMQ cannot be reached or refuses.
pub async fn delete_queues(config: &BrokerConfig, workers: &[&str]) -> Result<(), Error> {
    let connection = open(config, "taskmaster: deletes", Frames::Small).await?;
    let names = config.names();
    let own = workers.iter().map(|worker| names.worker(worker));
    let queues = [names.submissions(), names.rejected()]
        .into_iter()
        .chain(own);
    let deleted = answered(config, async {
        let channel = connection.create_channel().await?;
        for queue in queues {
            channel
                .queue_delete(short(&queue)?, QueueDeleteOptions::default())
                .await?;
        }
        Ok(())
    });
    let deleted = deleted.await;
    close(&connection).await;
    deleted
}
