//! Looking at the queues from outside, for whoever checks, repairs, or breaks them.

use lapin::Connection;
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;

use crate::connection::{Frames, answered, close, open};
use crate::topology::{declare_shared, declare_worker, short};
use crate::{BrokerConfig, Error, Names};

/// What there is of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// Its name.
    pub queue: String,
    /// Its messages and consumers, or nothing when there is no such queue.
    pub found: Option<Found>,
}

/// What is at a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Messages that wait to be delivered.
    pub messages: u32,
    /// Who takes them.
    pub consumers: u32,
}

/// Looks at every queue of the fleet: the shared ones, then those of `workers`.
///
/// # Errors
/// When RabbitMQ cannot be reached or refuses.
pub async fn inspect(config: &BrokerConfig, workers: &[&str]) -> Result<Vec<QueueState>, Error> {
    let connection = open(config, "taskmaster: looks", Frames::Small).await?;
    let names = queues(&config.names(), workers);
    let looked = answered(config, async {
        let mut states = Vec::with_capacity(names.len());
        for queue in names {
            let found = look(&connection, &queue).await?;
            states.push(QueueState { queue, found });
        }
        Ok(states)
    });
    let states = looked.await;
    close(&connection).await;
    states
}

/// Declares what is missing. What is there as it should be stays as it is.
///
/// # Errors
/// When RabbitMQ cannot be reached, or has a queue of that name which is another kind.
pub async fn repair(config: &BrokerConfig, workers: &[&str]) -> Result<(), Error> {
    let connection = open(config, "taskmaster: repairs", Frames::Small).await?;
    let names = config.names();
    let repaired = answered(config, async {
        let channel = connection.create_channel().await?;
        declare_shared(&channel, &names).await?;
        for worker in workers {
            declare_worker(&channel, &names, worker).await?;
        }
        Ok(())
    });
    let repaired = repaired.await;
    close(&connection).await;
    repaired
}

/// Deletes every queue of the fleet, with what is in them. For `taskmaster chaos`.
///
/// # Errors
/// When RabbitMQ cannot be reached or refuses.
pub async fn delete_queues(config: &BrokerConfig, workers: &[&str]) -> Result<(), Error> {
    let connection = open(config, "taskmaster: deletes", Frames::Small).await?;
    let names = queues(&config.names(), workers);
    let deleted = answered(config, async {
        let channel = connection.create_channel().await?;
        for queue in names {
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

fn queues(names: &Names, workers: &[&str]) -> Vec<String> {
    let shared = [names.submissions(), names.rejected()];
    let own = workers.iter().map(|worker| names.worker(worker));
    shared.into_iter().chain(own).collect()
}

async fn look(connection: &Connection, queue: &str) -> Result<Option<Found>, Error> {
    // Its own: a question that is answered with no closes the channel.
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions {
        passive: true,
        ..Default::default()
    };
    let asked = channel
        .queue_declare(short(queue)?, options, FieldTable::default())
        .await;
    match asked {
        Ok(queue) => Ok(Some(Found {
            messages: queue.message_count(),
            consumers: queue.consumer_count(),
        })),
        Err(_) if connection.status().connected() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
