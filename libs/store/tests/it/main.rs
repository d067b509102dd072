//! This crate against a real Postgres, a database of its own for each test. `cargo xtask test` starts the server and
//! sets `DATABASE_URL`; its user must be allowed to create databases.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attempts;
mod audit;
mod autoscaler;
mod cancel;
mod claim;
mod compatible;
mod connections;
mod constraints;
mod deadlocks;
mod drain;
mod errors;
mod explain;
mod finish;
mod fleet_lock;
mod hand_back;
mod in_turn;
mod inspect;
mod keda;
mod keys;
mod keys_at_once;
mod leadership;
mod list;
mod migrate;
mod model;
mod observe;
mod output;
mod partitions;
mod plans;
mod races;
mod release;
mod rescue;
mod retry_by_hand;
mod start;
mod submit;
mod support;
mod workers;
