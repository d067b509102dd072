//! The queues and the exchange, what each is for, and their declarations: the same from every process,
//! so that whoever connects first makes them and deleting them is repaired by the next connection.
//!
//! Works alike on RabbitMQ 3.10 and 4. Every shared queue is durable, because 4 gives up those that are not,
//! and says its type, because a virtual host may have another default.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use crate::{Error, WorkerQueues};

/// RabbitMQ 4 gives up a message of a quorum queue after 20 deliveries. A submission is delivered again each time
/// the coordinator loses its connection before the commit, which says nothing against the submission.
const DELIVERY_LIMIT: i32 = 1000;

/// A worker's queue goes when no worker consumed it for this long. What it held is in Postgres anyway.
const WORKER_QUEUE_EXPIRES_MS: i32 = 30 * 60 * 1000;

/// The names of everything in RabbitMQ that belongs to one fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    worker_queues: WorkerQueues,
}

impl Names {
    /// The names that begin with `prefix`.
    #[must_use]
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            worker_queues: WorkerQueues::default(),
        }
    }

    /// The same names, with workers' queues of this kind.
    #[must_use]
    pub fn with_worker_queues(self, worker_queues: WorkerQueues) -> Self {
        Self {
            worker_queues,
            ..self
        }
    }

    /// The queue where AMQP producers publish tasks.
    #[must_use]
    pub fn submissions(&self) -> String {
        format!("{}.submissions", self.prefix)
    }

    /// The queue of submissions that are not valid, each with its reason in the header `x-taskmaster-reason`.
    #[must_use]
    pub fn rejected(&self) -> String {
        format!("{}.rejected", self.prefix)
    }

    /// The queue of one worker's assignments and control messages.
    #[must_use]
    pub fn worker(&self, name: &str) -> String {
        format!("{}.worker.{name}", self.prefix)
    }

    /// The exchange of events: `task.<queue>.<status>` and `worker.<name>.<status>`.
    #[must_use]
    pub fn events(&self) -> String {
        format!("{}.events", self.prefix)
    }
}

/// One of the things that the services declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The exchange of events.
    Events,
    /// The queue where AMQP producers publish tasks.
    Submissions,
    /// The queue of submissions that are not valid.
    Rejected,
    /// The queue of the worker of this name.
    Worker(&'a str),
}

impl Piece<'_> {
    /// Its name in RabbitMQ.
    #[must_use]
    pub fn name(self, names: &Names) -> String {
        match self {
            Self::Events => names.events(),
            Self::Submissions => names.submissions(),
            Self::Rejected => names.rejected(),
            Self::Worker(worker) => names.worker(worker),
        }
    }

    pub(crate) fn is_quorum(self) -> bool {
        matches!(self, Self::Submissions | Self::Rejected)
    }

    /// Declares it as the services do.
    pub(crate) async fn declare(self, channel: &Channel, names: &Names) -> Result<(), Error> {
        match self {
            Self::Events => declare_events(channel, names).await,
            Self::Submissions => declare_submissions(channel, names).await,
            Self::Rejected => declare_rejected(channel, names).await,
            Self::Worker(worker) => declare_worker(channel, names, worker).await,
        }
    }
}

/// Declares what all share: both submission queues and the events exchange.
pub(crate) async fn declare_shared(channel: &Channel, names: &Names) -> Result<(), Error> {
    declare_rejected(channel, names).await?;
    declare_submissions(channel, names).await?;
    declare_events(channel, names).await
}

/// Declares the queue where AMQP producers publish tasks.
async fn declare_submissions(channel: &Channel, names: &Names) -> Result<(), Error> {
    let arguments = table([
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", DELIVERY_LIMIT.into()),
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&names.rejected())),
    ]);
    declare_durable(channel, &names.submissions(), arguments).await
}

/// Declares the queue of submissions that are not valid.
pub(crate) async fn declare_rejected(channel: &Channel, names: &Names) -> Result<(), Error> {
    let arguments = table([("x-queue-type", text("quorum"))]);
    declare_durable(channel, &names.rejected(), arguments).await
}

/// Declares one worker's queue.
pub(crate) async fn declare_worker(
    channel: &Channel,
    names: &Names,
    worker: &str,
) -> Result<(), Error> {
    let kind = match names.worker_queues {
        WorkerQueues::Classic => "classic",
        WorkerQueues::Quorum => "quorum",
    };
    let arguments = table([
        ("x-queue-type", text(kind)),
        ("x-expires", WORKER_QUEUE_EXPIRES_MS.into()),
    ]);
    declare_durable(channel, &names.worker(worker), arguments).await
}

/// Declares the events exchange.
pub(crate) async fn declare_events(channel: &Channel, names: &Names) -> Result<(), Error> {
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    let exchange = short(&names.events())?;
    channel
        .exchange_declare(
            exchange,
            ExchangeKind::Topic,
            durable,
            FieldTable::default(),
        )
        .await?;
    Ok(())
}

/// Declares a queue for one subscriber, gone with its connection, bound to the events exchange. Returns its name.
pub(crate) async fn declare_subscriber(
    channel: &Channel,
    names: &Names,
    bindings: &[String],
    max_length: Option<i32>,
) -> Result<ShortString, Error> {
    declare_events(channel, names).await?;
    let mut arguments = table([("x-queue-type", text("classic"))]);
    if let Some(max_length) = max_length {
        arguments.insert("x-max-length".into(), max_length.into());
    }
    let options = QueueDeclareOptions::exclusive().auto_delete();
    let queue = channel.queue_declare("".into(), options, arguments).await?;
    let exchange = short(&names.events())?;
    for binding in bindings {
        channel
            .queue_bind(
                queue.name().clone(),
                exchange.clone(),
                short(binding)?,
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
    }
    Ok(queue.name().clone())
}

async fn declare_durable(
    channel: &Channel,
    queue: &str,
    arguments: FieldTable,
) -> Result<(), Error> {
    channel
        .queue_declare(short(queue)?, QueueDeclareOptions::durable(), arguments)
        .await?;
    Ok(())
}

/// A name as AMQP wants it: at most 255 bytes.
pub(crate) fn short(text: &str) -> Result<ShortString, Error> {
    ShortString::try_new(text).map_err(|error| Error::Encode(error.to_string()))
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in entries {
        table.insert(key.into(), value);
    }
    table
}
