//! The RabbitMQ that tests share, each with names of its own.

use anyhow::{Context, Result};

use crate::random_name;

/// How to connect to it: `TASKMASTER_TEST_AMQP_URL`, or else `AMQP_URL`.
///
/// # Errors
/// When neither is set.
pub fn amqp_url() -> Result<String> {
    std::env::var("TASKMASTER_TEST_AMQP_URL")
        .or_else(|_| std::env::var("AMQP_URL"))
        .context("TASKMASTER_TEST_AMQP_URL is not set: run `cargo xtask test`")
}

/// A prefix for the names of queues and exchanges that no other test has.
#[must_use]
pub fn random_prefix() -> String {
    random_name("test-")
}
