//! Everything beyond the original endpoints, in snake_case.

pub(crate) mod attempts;
pub(crate) mod audit;
pub(crate) mod autoscaler;
pub(crate) mod events;
pub(crate) mod fleet;
pub(crate) mod forecast;
pub(crate) mod member;
pub(crate) mod moves;
pub(crate) mod operation;
pub(crate) mod output;
pub(crate) mod output_stream;
pub(crate) mod page;
pub(crate) mod run_output;
pub(crate) mod sse;
pub(crate) mod tasks;
pub(crate) mod text;
pub(crate) mod workers;
