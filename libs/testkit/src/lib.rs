//! For tests only: databases, brokers, the whole stack.

mod broker;
mod database;

pub use broker::{amqp_url, random_prefix};
pub use database::TestDatabase;

/// `start` followed by letters and digits that nobody else has.
fn random_name(start: &str) -> String {
    format!("{start}{:016x}", rand::random::<u64>())
}
