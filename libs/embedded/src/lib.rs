//! A private Postgres and a private RabbitMQ node as child processes of the one who calls: for `taskmaster up`, for tests
//! and for xtask. They listen on 127.0.0.1 only, on ports of their own, with passwords of their own, and keep everything
//! in a folder of their own; a system service is never touched.
//!
//! What lives here: finding the programs, setting up their folders, starting, watching and stopping them. What does not:
//! any client of theirs. Callers connect to `url()` with whatever they like.
//!
//! The children end with their owner, also when it is killed with SIGKILL: see [`Guard`].

mod account;
mod error;
mod find;
mod folder;
mod guard;
mod log;
mod orphan;
mod port;
mod postgres;
mod probe;
mod process;
mod rabbitmq;

pub use error::Error;
pub use guard::{Guard, guard_main};
pub use postgres::{Durability, Postgres, PostgresConfig, StopMode};
pub use rabbitmq::{RabbitMq, RabbitMqConfig};

/// Starts both at the same time and returns when both are ready: some seconds on the first start, less on the next.
///
/// # Errors
///
/// The first error of either. The other one is told to stop then, without waiting for its end; the next start on its
/// folder waits for that.
pub async fn start_both(
    postgres: PostgresConfig,
    rabbitmq: RabbitMqConfig,
) -> Result<(Postgres, RabbitMq), Error> {
    tokio::try_join!(Postgres::start(postgres), RabbitMq::start(rabbitmq))
}
