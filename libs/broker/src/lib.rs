//! RabbitMQ: the names and declarations, the messages, and everything that publishes or consumes them.
//!
//! RabbitMQ only carries; what is true is in Postgres. Any message may be lost, doubled, late or out of order,
//! so nothing here retries for ever or keeps a message that could not be sent: it says so, and the caller
//! decides. What may wait for ever is a connection: every consumer here reconnects by itself, with backoff.
//!
//! Nothing of lapin is visible outside, apart from the broker itself.

mod assign;
mod config;
mod confirmed;
mod connection;
mod control;
mod delete_queues;
mod error;
mod event_batches;
mod events;
mod feed;
mod inspect;
mod messages;
mod reconnect;
mod rejection;
mod submission_publisher;
mod submissions;
mod topology;
mod worker_queue;

pub use assign::AssignmentPublisher;
pub use config::{BrokerConfig, WorkerQueues};
pub use confirmed::Delivery;
pub use control::ControlPublisher;
pub use delete_queues::delete_queues;
pub use error::Error;
pub use events::EventPublisher;
pub use feed::{Feed, subscribe, wakeups};
pub use inspect::{Found, Inspector, Usage};
pub use messages::{Assignment, TaskEvent, TaskLease, WorkerEvent, WorkerMessage};
pub use submission_publisher::{NewSubmission, SubmissionPublisher};
pub use submissions::{Submission, SubmissionConsumer};
pub use topology::{Names, Piece};
pub use worker_queue::consume_assignments;
