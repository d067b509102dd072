//! What every service shares: how it stops, how a periodic service loops, how it waits before it tries again,
//! how it logs. Nothing of the domain.

mod backoff;
mod periodic;
mod shutdown;
mod telemetry;

pub use backoff::Backoff;
pub use periodic::{Next, Periodic, run_periodically};
pub use shutdown::Shutdown;
pub use telemetry::{LogFormat, init_tracing};
