//! The worker: consumes its own queue, starts each task before it runs it, captures what it prints, and reports
//! what became of it.
//!
//! Everything it is told may be lost, doubled or late. What it holds is decided by Postgres: a task runs only after
//! its start was committed under its lease, and a worker that cannot reach Postgres for longer than its time-out
//! stops what it runs, because it must assume that it was given away.

mod capture;
mod config;
mod drain;
mod execute;
mod guard;
mod heartbeat;
mod held;
mod oom;
mod processes;
mod reaper;
mod reporter;
mod run;
mod starter;
mod stop;
mod tenure;

pub use config::{SimulateConfig, WorkerConfig};
pub use guard::{GuardProgram, guard_main};
pub use run::run;
