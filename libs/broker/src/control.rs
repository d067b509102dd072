//! For those who publish now and then, many at a time: the API telling a worker to stop a task or to drain.

use std::time::Duration;

use deadpool_lapin::{Config, Object, Pool, PoolConfig, PoolError, Runtime, Timeouts};
use lapin::options::BasicPublishOptions;
use tokio::time::timeout;

use crate::assign::properties;
use crate::confirmed::confirming_channel;
use crate::connection::{self, CONFIRM_TIMEOUT, CONNECT_TIMEOUT, Frames};
use crate::messages::encode;
use crate::topology::short;
use crate::{BrokerConfig, Error, Names, WorkerMessage};

const NAME: &str = "taskmaster: control messages";
const CONNECTIONS: usize = 4;
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Publishes over a few shared connections. Cloning it is cheap.
#[derive(Clone)]
pub struct ControlPublisher {
    config: BrokerConfig,
    names: Names,
    pool: Pool,
}

impl ControlPublisher {
    /// Does not connect yet. Needs a running tokio runtime.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`].
    pub fn new(config: &BrokerConfig) -> Result<Self, Error> {
        let timeouts = Timeouts {
            wait: Some(CONNECT_TIMEOUT),
            create: Some(CONNECT_TIMEOUT),
            recycle: None,
        };
        let pool = PoolConfig {
            max_size: CONNECTIONS,
            timeouts,
            ..PoolConfig::default()
        };
        let pool = Config {
            url: Some(url(config)?),
            pool: Some(pool),
        }
        .create_pool(|| connection::properties(NAME), Runtime::Tokio1)
        .map_err(|error| Error::Amqp(error.to_string()))?;
        Ok(Self {
            config: config.clone(),
            names: config.names(),
            pool,
        })
    }

    /// Sends a message to a worker's queue. False when there is no such queue.
    ///
    /// Takes 5 s at most, 10 when it has to connect first and nothing answers.
    ///
    /// # Errors
    /// When RabbitMQ cannot be reached or does not confirm. The message may have arrived nevertheless.
    pub async fn send(&self, worker_name: &str, message: &WorkerMessage) -> Result<bool, Error> {
        let queue = self.names.worker(worker_name);
        let body = encode(message)?;
        let connection = self.connection().await?;
        let sending = async {
            let channel = confirming_channel(&connection).await?;
            let options = BasicPublishOptions {
                mandatory: true,
                ..Default::default()
            };
            let confirmation = channel
                .basic_publish("".into(), short(&queue)?, options, &body, properties())
                .await?
                .await?;
            let taken = confirmation.is_ack();
            if taken {
                Ok(confirmation.take_message().is_none())
            } else {
                Err(Error::NotTaken { queue })
            }
        };
        self.settle(
            CONFIRM_TIMEOUT,
            timeout(CONFIRM_TIMEOUT, sending).await,
            connection,
        )
    }

    /// Whether RabbitMQ answers and takes messages, within 2 s.
    ///
    /// # Errors
    /// The reason why not.
    pub async fn ping(&self) -> Result<(), Error> {
        let late = || Error::Timeout {
            address: self.config.redacted(),
            after: PING_TIMEOUT,
        };
        let pinging = async {
            let connection = self.connection().await?;
            if connection.status().blocked() {
                return Err(Error::Blocked {
                    address: self.config.redacted(),
                });
            }
            // Shorter than the time-out around it, so that a connection that does not answer is given up.
            let opening = timeout(PING_TIMEOUT * 3 / 4, async {
                connection.create_channel().await?;
                Ok(())
            });
            let outcome = opening.await;
            self.settle(PING_TIMEOUT, outcome, connection)
        };
        timeout(PING_TIMEOUT, pinging).await.map_err(|_| late())?
    }

    /// A connection from the pool, or a new one.
    ///
    /// The pool cannot give up a connection whose broker accepts it and then says nothing, other than by leaving its
    /// thread and socket behind. So a broker is tried first in the way that leaves nothing.
    async fn connection(&self) -> Result<Object, Error> {
        self.pool
            .retain(|connection, _| connection.status().connected());
        if self.pool.status().available == 0 {
            let probe = connection::open(&self.config, NAME, Frames::Small).await?;
            connection::close(&probe).await;
        }
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => Error::connecting(self.config.redacted(), &error),
            PoolError::Timeout(_) => Error::Timeout {
                address: self.config.redacted(),
                after: CONNECT_TIMEOUT,
            },
            other => Error::Amqp(other.to_string()),
        })
    }

    /// Gives a connection back to the pool only if it worked.
    fn settle<T>(
        &self,
        after: Duration,
        outcome: Result<Result<T, Error>, tokio::time::error::Elapsed>,
        connection: Object,
    ) -> Result<T, Error> {
        let outcome = outcome.unwrap_or_else(|_| {
            Err(Error::Timeout {
                address: self.config.redacted(),
                after,
            })
        });
        if outcome.is_err() {
            drop(Object::take(connection));
        }
        outcome
    }
}

/// The pool wants its URL as text, and reads an IPv6 address only in disguise.
fn url(config: &BrokerConfig) -> Result<String, Error> {
    let mut uri = config.uri()?;
    uri.query.frame_max = uri.query.frame_max.or(Frames::Small.max());
    uri.authority.host = uri.authority.host.replace(':', "%3A");
    Ok(uri.to_string())
}

#[cfg(test)]
mod tests {
    use lapin::uri::AMQPUri;

    use super::*;

    #[test]
    fn the_pool_connects_to_the_same_place() {
        for text in [
            "amqp://bob:p%40ss@[::1]:5673/v",
            "amqps://rabbit.example",
            "amqp://localhost/?heartbeat=3",
        ] {
            let config = BrokerConfig::new(text, "taskmaster").unwrap();
            let mut expected = config.uri().unwrap();
            expected.query.frame_max = Frames::Small.max();
            assert_eq!(
                url(&config).unwrap().parse::<AMQPUri>().unwrap(),
                expected,
                "{text}"
            );
        }
    }
}
