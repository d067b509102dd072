//! Logs, to standard error.

use std::io::IsTerminal;

use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}

/// Sends logs to standard error. `TASKMASTER_LOG` filters them, as `info` or `taskmaster_worker=debug,info`; info
/// unless told. Calling it twice is harmless.
pub fn init_tracing(format: LogFormat) {
    let filter = EnvFilter::try_from_env("TASKMASTER_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,lapin=off,sqlx=off"));
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    let set = tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .with(filter_fn(|metadata| !tells_secrets(metadata.target())))
        .try_init();
    // Already set: the one who came first decides.
    drop(set);
}

/// bollard logs what it sends and gets: containers, with their environment. Whatever filter was asked for.
fn tells_secrets(target: &str) -> bool {
    target == "bollard" || target.starts_with("bollard::")
}
