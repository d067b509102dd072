//! This crate against a real RabbitMQ. `cargo xtask test` starts one and sets `TASKMASTER_TEST_AMQP_URL`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod assignments;
mod away;
mod control;
mod events;
mod fleet;
mod inspect;
mod submissions;
mod unreachable;
mod wire;
