//! The original endpoints, with exactly their paths, fields and letter case; some return more fields than they did.

pub(crate) mod fleet;
pub(crate) mod schedule;
pub(crate) mod stats;
pub(crate) mod status;
pub(crate) mod tasks;
pub(crate) mod time;
pub(crate) mod workers;
