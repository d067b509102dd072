//! What can go wrong between this process and RabbitMQ. No text here ever holds the URL, only host and port.

use std::time::Duration;

use lapin::ErrorKind;

/// AMQP's reply codes.
pub(crate) const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
pub(crate) const INTERNAL_ERROR: u16 = 541;

/// An error of this crate. Each is one line that can be shown as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The URL cannot be read. The URL itself is not repeated: it may hold a password.
    #[error(
        "the address of RabbitMQ (AMQP_URL) is not valid: use amqp://USER:PASSWORD@HOST:PORT/VHOST, \
         with special characters of the password percent-encoded"
    )]
    InvalidUrl,
    /// The prefix of all names is not one.
    #[error("the prefix {0:?} is not valid: use 1 to 64 of a-z, 0-9, '.', '_' and '-'")]
    InvalidPrefix(String),
    /// No connection: nothing listens, the name is unknown, or the network is cut.
    #[error("RabbitMQ at {address} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// RabbitMQ answered and said no: wrong user, wrong password, no such virtual host, or no right to it.
    #[error("RabbitMQ at {address} refused the connection: {reason}")]
    Refused {
        /// Host and port.
        address: String,
        /// What RabbitMQ said.
        reason: String,
    },
    /// No answer in time.
    #[error("RabbitMQ at {address} did not answer within {} s", after.as_secs())]
    Timeout {
        /// Host and port.
        address: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The last attempt to connect failed a moment ago and the pause before the next is not over.
    #[error("RabbitMQ at {address} is away")]
    Away {
        /// Host and port.
        address: String,
    },
    /// RabbitMQ is out of memory or disk space and takes no messages for now (`connection.blocked`).
    #[error("RabbitMQ at {address} is short of memory or disk space and takes no messages")]
    Blocked {
        /// Host and port.
        address: String,
    },
    /// The consumer ended: its queue was deleted, or the channel or connection closed.
    #[error("RabbitMQ ended the consumer of {queue}")]
    ConsumerEnded {
        /// The queue.
        queue: String,
    },
    /// RabbitMQ has the queue in its books and not in its storage. Known of quorum queues that were declared moments
    /// before RabbitMQ was killed. Only deleting the queue helps, which is for a person to decide: in a cluster the
    /// queue's messages may come back with another node.
    #[error(
        "RabbitMQ cannot use its own queue {queue} any more: `taskmaster doctor` says what to do if this lasts"
    )]
    QueueBroken {
        /// The queue.
        queue: String,
    },
    /// A message that had to be stored was not confirmed.
    #[error("RabbitMQ did not take a message for {queue}")]
    NotTaken {
        /// The queue.
        queue: String,
    },
    /// A message that cannot be written as JSON, or a name that does not fit in AMQP.
    #[error("the message cannot be sent: {0}")]
    Encode(String),
    /// What was asked for does not fit what is there: a queue of that name with other arguments, or one that is in use.
    #[error("RabbitMQ: {0}")]
    PreconditionFailed(String),
    /// Anything else that RabbitMQ or the connection reported.
    #[error("RabbitMQ: {0}")]
    Amqp(String),
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        let text = reason(&error);
        if reply_code(&error) == Some(PRECONDITION_FAILED) {
            Self::PreconditionFailed(text)
        } else {
            Self::Amqp(text)
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Encode(error.to_string())
    }
}

impl Error {
    /// The error of an attempt to connect.
    pub(crate) fn connecting(address: String, error: &lapin::Error) -> Self {
        let reason = reason(error);
        if error.is_amqp_error() {
            Self::Refused { address, reason }
        } else {
            Self::Unreachable { address, reason }
        }
    }
}

/// The number by which RabbitMQ said no, if it was RabbitMQ that did.
pub(crate) fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => Some(error.get_id()),
        _ => None,
    }
}

/// The text of an error without the layers around it.
fn reason(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::IOError(error) => error.to_string(),
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        _ => error.to_string(),
    }
}
