//! A fleet of real processes: a small shell script that behaves like a worker.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod processes;
mod stage;
