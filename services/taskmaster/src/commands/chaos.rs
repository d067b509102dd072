//! `taskmaster chaos`.

use std::process::ExitCode;

use anyhow::Context;
use taskmaster_chaos::ChaosConfig;
use taskmaster_embedded::Guard;
use taskmaster_runtime::{LogFormat, Shutdown, init_tracing};

use crate::GUARD;
use crate::output::Terminal;

/// Break a system of its own in every way, and prove that nothing was lost
///
/// Starts Postgres, RabbitMQ, coordinators, APIs and workers of its own, submits tasks at a steady rate, kills, hangs,
/// cuts and restarts everything in turn, and compares what was submitted, what ran and what is written down.
/// Exits with 1 if anything was lost, doubled, or run without a committed start.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ChaosConfig,
    /// Print the report as JSON, for programs
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Does it and prints the report.
    ///
    /// # Errors
    /// When it cannot begin.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        init_tracing(LogFormat::Text);
        let shutdown = Shutdown::on_signals()?;
        let program = std::env::current_exe().context("cannot find this executable")?;
        let mut terminal = Terminal::new();
        let mut tell = |step: String| terminal.note(step);
        let running = taskmaster_chaos::run(
            &self.config,
            &program,
            Guard::this_executable([GUARD]),
            shutdown.drain.clone(),
            &mut tell,
        );
        let report = tokio::select! {
            report = running => report?,
            () = shutdown.now.cancelled() => return Ok(ExitCode::from(130)),
        };
        if self.json {
            terminal.json(&serde_json::value::to_raw_value(&report)?)?;
        } else {
            terminal.line(&report)?;
        }
        Ok(if report.violations.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
