//! A fleet of real processes, a small shell script that behaves like a worker; and one of containers, whose engine is a
//! stand-in for what a real one cannot be brought to do at a certain moment.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod docker;
mod engine;
mod processes;
mod stage;
