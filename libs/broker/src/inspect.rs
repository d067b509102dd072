//! Looking at what is declared, and putting it right, for `taskmaster doctor`.
//!
//! What should be there is what [`topology`](crate::topology) declares, so that a check never disagrees with the
//! services.

use std::time::Duration;

use lapin::Connection;
use lapin::options::{
    BasicGetOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use tokio::time::timeout;

use crate::connection::{CONNECT_TIMEOUT, Frames, answered, answered_within, close, open};
use crate::error::{INTERNAL_ERROR, NOT_FOUND, reply_code};
use crate::topology::short;
use crate::{BrokerConfig, Error, Names, Piece};

const NAME: &str = "taskmaster doctor";

/// How long RabbitMQ may take to delete a queue that it cannot use.
const DELETE_TIMEOUT: Duration = Duration::from_secs(20);

/// What there is by a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// What the services declare.
    AsDeclared(Usage),
    /// A queue that is in RabbitMQ's books and not in its storage: nothing can be published to it or taken from it.
    Broken,
    /// A queue or an exchange of another kind, which the services cannot use.
    Different {
        /// RabbitMQ's words for the difference.
        reason: String,
        /// What is at it nevertheless.
        usage: Usage,
    },
}

/// What is at a queue. An exchange has neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Messages that wait to be delivered.
    pub messages: u32,
    /// Who takes them.
    pub consumers: u32,
}

/// A connection for looking. It declares what it is told to and publishes nothing.
pub struct Inspector {
    config: BrokerConfig,
    names: Names,
    connection: Connection,
}

impl Inspector {
    /// Connects, within 5 s.
    ///
    /// # Errors
    /// When RabbitMQ cannot be reached or refuses.
    pub async fn connect(config: &BrokerConfig) -> Result<Self, Error> {
        Ok(Self {
            config: config.clone(),
            names: config.names(),
            connection: open(config, NAME, Frames::Small).await?,
        })
    }

    /// Looks at one of the things that the services declare, within 20 s, or 25 when it has to connect again.
    ///
    /// # Errors
    /// When the connection is gone, or this user may not look or declare.
    pub async fn look(&self, piece: Piece<'_>) -> Result<Found, Error> {
        match self.look_at_books(piece).await? {
            Found::AsDeclared(usage)
                if piece.is_quorum()
                    && usage == Usage::default()
                    && self.is_broken(piece).await? =>
            {
                Ok(Found::Broken)
            }
            found => Ok(found),
        }
    }

    /// What RabbitMQ has in its books, within 5 s, or 10 when it has to connect again: to some questions its answer is
    /// the end of the connection, and the next one is not to suffer for that.
    async fn look_at_books(&self, piece: Piece<'_>) -> Result<Found, Error> {
        if self.connection.status().connected() {
            return answered(&self.config, self.compare(&self.connection, piece)).await;
        }
        let compare = async |own: &Connection| self.compare(own, piece).await;
        self.apart(CONNECT_TIMEOUT, compare).await
    }

    /// Declares it as the services do, within 5 s.
    ///
    /// # Errors
    /// When the connection is gone, this user may not, or there is one of another kind.
    pub async fn declare(&self, piece: Piece<'_>) -> Result<(), Error> {
        let declaring = async {
            let channel = self.connection.create_channel().await?;
            piece.declare(&channel, &self.names).await
        };
        answered(&self.config, declaring).await
    }

    /// Deletes what has its name, unless that is used or holds messages, and declares it as the services do, within 10 s.
    ///
    /// # Errors
    /// When it is used or not empty, and for any quorum queue: RabbitMQ deletes those only without looking.
    pub async fn replace(&self, piece: Piece<'_>) -> Result<(), Error> {
        let name = short(&piece.name(&self.names))?;
        // RabbitMQ ends the connection of who asks this of a quorum queue.
        self.apart(CONNECT_TIMEOUT, async |own| {
            let channel = own.create_channel().await?;
            if piece == Piece::Events {
                let unused = ExchangeDeleteOptions {
                    if_unused: true,
                    ..Default::default()
                };
                channel.exchange_delete(name, unused).await?;
            } else {
                let unused = QueueDeleteOptions {
                    if_unused: true,
                    if_empty: true,
                    ..Default::default()
                };
                channel.queue_delete(name, unused).await?;
            }
            piece.declare(&channel, &self.names).await
        })
        .await
    }

    /// Deletes a queue that was [`Found::Broken`], with whatever another node of a cluster may still have of it, and
    /// declares it as the services do, within 25 s.
    ///
    /// # Errors
    /// When RabbitMQ refuses.
    pub async fn replace_broken(&self, piece: Piece<'_>) -> Result<(), Error> {
        let name = short(&piece.name(&self.names))?;
        // RabbitMQ itself first waits for the queue's process.
        self.apart(DELETE_TIMEOUT, async |own| {
            let channel = own.create_channel().await?;
            channel
                .queue_delete(name, QueueDeleteOptions::default())
                .await?;
            piece.declare(&channel, &self.names).await
        })
        .await
    }

    /// Says goodbye to RabbitMQ.
    pub async fn close(self) {
        close(&self.connection).await;
    }

    /// Compares what has its name with what the services declare.
    async fn compare(&self, connection: &Connection, piece: Piece<'_>) -> Result<Found, Error> {
        let Some(usage) = self.find(connection, piece).await? else {
            return Ok(Found::Nothing);
        };
        // A passive declaration compares nothing. A real one of what is there changes nothing and is refused when that is
        // of another kind. Should it have gone since, it is made, as the next service would make it.
        let channel = connection.create_channel().await?;
        match piece.declare(&channel, &self.names).await {
            Ok(()) => Ok(Found::AsDeclared(usage)),
            Err(Error::PreconditionFailed(reason)) => Ok(Found::Different { reason, usage }),
            Err(error) => Err(error),
        }
    }

    /// Whether RabbitMQ fails at giving a message of a queue that seems empty, or does not answer. Should there be one
    /// by now, it stays.
    async fn is_broken(&self, piece: Piece<'_>) -> Result<bool, Error> {
        let name = short(&piece.name(&self.names))?;
        // RabbitMQ ends the connection when it is so.
        self.apart(2 * CONNECT_TIMEOUT, async |own| {
            let channel = own.create_channel().await?;
            let getting = channel.basic_get(name, BasicGetOptions::default());
            match timeout(CONNECT_TIMEOUT, getting).await {
                Err(_) => Ok(true),
                Ok(Ok(_)) => Ok(false),
                Ok(Err(error)) if reply_code(&error) == Some(INTERNAL_ERROR) => Ok(true),
                Ok(Err(error)) => Err(error.into()),
            }
        })
        .await
    }

    /// Asks on a connection of its own, to which RabbitMQ's answer may be its end. `limit` is for the answer.
    async fn apart<T>(
        &self,
        limit: Duration,
        ask: impl AsyncFnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let own = open(&self.config, NAME, Frames::Small).await?;
        let answer = answered_within(limit, &self.config, ask(&own)).await;
        close(&own).await;
        answer
    }

    /// Whether there is anything by that name, and what is at it.
    async fn find(
        &self,
        connection: &Connection,
        piece: Piece<'_>,
    ) -> Result<Option<Usage>, Error> {
        // Its own: a question that is answered with no closes the channel.
        let channel = connection.create_channel().await?;
        let name = short(&piece.name(&self.names))?;
        let asked = if piece == Piece::Events {
            let passive = ExchangeDeclareOptions {
                passive: true,
                ..Default::default()
            };
            let kind = lapin::ExchangeKind::Topic;
            channel
                .exchange_declare(name, kind, passive, FieldTable::default())
                .await
                .map(|()| Usage::default())
        } else {
            let passive = QueueDeclareOptions::default().passive();
            channel
                .queue_declare(name, passive, FieldTable::default())
                .await
                .map(|queue| Usage {
                    messages: queue.message_count(),
                    consumers: queue.consumer_count(),
                })
        };
        match asked {
            Ok(usage) => Ok(Some(usage)),
            Err(error) if reply_code(&error) == Some(NOT_FOUND) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
