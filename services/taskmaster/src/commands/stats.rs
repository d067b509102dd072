//! `taskmaster stats`.

use std::process::ExitCode;

use crate::cli::ClientArgs;
use crate::client::{Client, Stats};
use crate::output::Terminal;

/// Count the tasks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    client: ClientArgs,
}

impl Args {
    /// Prints the counts.
    ///
    /// # Errors
    /// When the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let answer = client.get("/api/stats", &[]).await?;
        let mut terminal = Terminal::new();
        if self.client.json {
            terminal.json(&answer)?;
            return Ok(ExitCode::SUCCESS);
        }
        let stats: Stats = client.read(&answer)?;
        for (name, count) in [
            ("waiting", stats.pending_tasks),
            ("running", stats.running_tasks),
            ("completed", stats.completed_tasks),
            ("failed", stats.failed_tasks),
            ("cancelled", stats.cancelled_tasks),
            ("together", stats.total_tasks),
        ] {
            terminal.line(format!("{name:<9}  {count:>9}"))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
