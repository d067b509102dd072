//! A model of how tasks are given out, run and ended, checked in every reachable state: for tests only.
//!
//! One or two tasks, two workers, two coordinators that both think they lead, and the intake. Postgres is a few rows
//! that move only by [`taskmaster_core::protocol`], which a test of the store holds against the SQL. The broker is a
//! bag of messages, which keeps no order and may lose, double and delay any of them, or lose all at once. Statements
//! may be carried out late, without whoever sent them being there any more, and their answers may be lost. What goes
//! wrong, and what people ask for, takes one from a budget ([`Disturbance`]); with it spent, the rest of the protocol has
//! nothing left that it could do for ever, so the space is finite and the checker walks all of it.
//!
//! What the model adds to the protocol is the order in which things happen, and what a worker and a coordinator keep in
//! memory: [`state`] says what there is, [`Action`] what can happen. It has no clock. Where the product relies on time,
//! the model has the order that the times are chosen to give:
//!
//! - A worker that is alive and cannot reach Postgres stops what it runs before a coordinator declares it offline.
//! - An answer to a heartbeat that comes after that is not heard.
//! - A process that is dead runs nothing, and a worker's name belongs to one process that is alive.
//!
//! [`Broken`] takes one rule, or one of these assumptions, away, and a test makes sure that the checker notices.
//!
//! Not here: time limits and what the coordinator does about a worker that hangs past one, priorities, output, and
//! that the steps of one statement are one step, which Postgres sees to.
//!
//! `cargo test -p taskmaster-model -- --nocapture` prints what was walked; `cargo run -p taskmaster-model --example
//! explore` walks further than the tests have time for.

pub mod action;
pub mod check;
pub mod properties;
pub mod setup;
pub mod state;

mod broker;
mod coordinator;
mod intake;
mod postgres;
mod settle;
mod worker;

pub use action::{Action, Disturbance};
pub use check::{Checked, check, find_violation};
pub use setup::{Broken, Setup, TaskSetup};
pub use state::State;
