//! For tests only: databases, brokers, the whole stack. Nothing here stands in for a real part.

mod api;
mod broker;
mod database;
mod process;
mod servers;
mod stack;

pub use api::{Api, Events};
pub use broker::{amqp_url, random_prefix};
pub use database::{TestDatabase, until_waiting};
pub use process::Process;
pub use servers::PrivateServers;
pub use stack::{Stack, eventually, open_folder};

// The rule that only this crate and the ones that own them use these holds for tests as well.
pub use {lapin, sqlx};

/// `start` followed by letters and digits that nobody else has.
fn random_name(start: &str) -> String {
    format!("{start}{:016x}", rand::random::<u64>())
}
