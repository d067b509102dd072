//! What every service shares: how it stops, how a periodic service loops, how it waits before it tries again or goes on,
//! how it logs, how it shows that it lives. Nothing of the domain.

mod alive;
mod backoff;
mod pace;
mod periodic;
mod shutdown;
mod telemetry;

pub use alive::{ALIVE_FILE, keep_alive_file, last_alive};
pub use backoff::Backoff;
pub use pace::Pace;
pub use periodic::{Next, Periodic, run_periodically};
pub use shutdown::Shutdown;
pub use telemetry::{LogFormat, init_tracing};
