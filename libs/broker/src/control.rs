//! For those who publish now and then, many at a time: the API telling a worker to stop a task or to drain.

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Metrics, PoolError, RecycleError, RecycleResult};
use futures_util::StreamExt;
use lapin::Connection;
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

type Pool = managed::Pool<Manager>;
type Object = managed::Object<Manager>;

/// Publishes over a few shared connections. Cloning it is cheap.
#[derive(Clone)]
pub struct ControlPublisher {
    config: BrokerConfig,
    names: Names,
    pool: Pool,
}

/// Makes the pool's connections as all others are made: with our trust in certificates, within our time-out, and leaving
/// nothing behind when that fails.
struct Manager {
    config: BrokerConfig,
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        connection::open(&self.config, NAME, Frames::Small).await
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Error> {
        if connection.status().connected() {
            Ok(())
        } else {
            Err(RecycleError::message("it is not connected any more"))
        }
    }
}

impl ControlPublisher {
    /// Does not connect yet. Needs a running tokio runtime.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`].
    pub fn new(config: &BrokerConfig) -> Result<Self, Error> {
        config.check()?;
        let manager = Manager {
            config: config.clone(),
        };
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .wait_timeout(Some(CONNECT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
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
        let outcome = self.bounded(CONFIRM_TIMEOUT, &connection, sending).await;
        give_back(connection, &outcome);
        outcome
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
            // Shorter than the time-out around it, so that a connection that does not answer is given up.
            let limit = PING_TIMEOUT * 3 / 4;
            let answer = async { Ok(connection.create_channel().await.map(drop)?) };
            let outcome = self.bounded(limit, &connection, answer).await;
            give_back(connection, &outcome);
            outcome
        };
        timeout(PING_TIMEOUT, pinging).await.map_err(|_| late())?
    }

    /// Whether RabbitMQ takes messages. It tells only who publishes that it is short of memory or disk space, so a message
    /// is published: to nobody, so that nothing comes of it.
    ///
    /// # Errors
    /// [`Error::Blocked`], or as [`send`](Self::send).
    pub async fn takes_messages(&self) -> Result<(), Error> {
        // No worker's name.
        self.send("?", &WorkerMessage::Drain).await.map(drop)
    }

    /// A connection from the pool, or a new one.
    async fn connection(&self) -> Result<Object, Error> {
        self.pool
            .retain(|connection, _| connection.status().connected());
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(_) => Error::Timeout {
                address: self.config.redacted(),
                after: CONNECT_TIMEOUT,
            },
            other => Error::Amqp(other.to_string()),
        })
    }

    /// The outcome of `work` within `limit`, or the news that RabbitMQ takes nothing from this connection.
    async fn bounded<T>(
        &self,
        limit: Duration,
        connection: &Connection,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let address = || self.config.redacted();
        tokio::select! {
            biased;
            outcome = timeout(limit, work) => {
                outcome.unwrap_or_else(|_| Err(Error::Timeout { address: address(), after: limit }))
            }
            () = blocked(connection) => Err(Error::Blocked { address: address() }),
        }
    }
}

/// Waits until RabbitMQ has blocked the connection, perhaps for ever.
async fn blocked(connection: &Connection) {
    let mut events = std::pin::pin!(connection.events_listener());
    while !connection.status().blocked() {
        if events.next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// Keeps a connection in the pool if it worked, or if it is blocked: that one will hear when it is over.
fn give_back<T>(connection: Object, outcome: &Result<T, Error>) {
    match outcome {
        Ok(_) | Err(Error::Blocked { .. }) => {}
        Err(_) => drop(Object::take(connection)),
    }
}
