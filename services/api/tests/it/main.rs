//! The API as its users meet it: requests against the real router, on a real Postgres and, where events matter, a real
//! RabbitMQ.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod answer;
mod api;
mod attempts;
mod audit;
mod autoscaler;
mod autoscaler_leader;
mod bad_address;
mod bad_input;
mod drain;
mod events;
mod fleet;
mod idempotency;
mod list;
mod moves;
mod openapi;
mod operations;
mod outage;
mod output;
mod pages;
mod rules;
mod seed;
mod server;
mod shape;
mod stand_in;
mod submit;
mod takeover;
