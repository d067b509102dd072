//! The commands, one file each: what it takes, what it does, what it prints.

pub(crate) mod audit;
pub(crate) mod autoscale;
pub(crate) mod cancel;
pub(crate) mod chaos;
pub(crate) mod doctor;
mod fleet_args;
pub(crate) mod healthcheck;
pub(crate) mod kill;
pub(crate) mod logs;
pub(crate) mod retry;
pub(crate) mod scale;
pub(crate) mod services;
pub(crate) mod stats;
pub(crate) mod submit;
pub(crate) mod task;
pub(crate) mod tasks;
pub(crate) mod workers;

mod follow;

/// The command line does not fit together in a way that clap cannot say. Exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);
