//! What `up` logs: everything into a file, and what someone should look at also to the terminal.

use std::fs::OpenOptions;
use std::io::IsTerminal;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use taskmaster_runtime::LogFormat;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::data_folder::set_aside;

/// Logs to `taskmaster.log` in this folder, and warnings to standard error. `TASKMASTER_LOG` filters both.
///
/// # Errors
/// When the file cannot be opened, or there is a log already.
pub(super) fn init(format: LogFormat, folder: &Path) -> anyhow::Result<()> {
    let path = folder.join("taskmaster.log");
    let open = || {
        set_aside(&path)?;
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
    };
    let file = Arc::new(open().with_context(|| format!("cannot write {}", path.display()))?);
    let filter = |unless_told: &str| {
        EnvFilter::try_from_env("TASKMASTER_LOG").unwrap_or_else(|_| EnvFilter::new(unless_told))
    };
    let (to_file, to_terminal) = (
        filter("info,lapin=error,sqlx=off"),
        filter("warn,lapin=off,sqlx=off"),
    );
    let file = fmt::layer().with_ansi(false).with_writer(file);
    let terminal = fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let (file, terminal) = match format {
        LogFormat::Text => (file.boxed(), terminal.boxed()),
        LogFormat::Json => (file.json().boxed(), terminal.json().boxed()),
    };
    tracing_subscriber::registry()
        .with(vec![
            file.with_filter(to_file).boxed(),
            terminal.with_filter(to_terminal).boxed(),
        ])
        .try_init()
        .context("cannot set up the log")
}
