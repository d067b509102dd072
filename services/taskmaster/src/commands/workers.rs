//! `taskmaster workers`.

use std::process::ExitCode;

use serde::Deserialize;

use crate::cli::ClientArgs;
use crate::client::{Client, Json, Worker};
use crate::output::{Table, Terminal, now, one_line, paint, relative};

mod drain;

/// List the workers, or drain some
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    client: ClientArgs,
}

/// What can be done with workers, beside listing them.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Drain(drain::Args),
}

#[derive(Deserialize)]
struct Answer<T> {
    workers: Vec<T>,
}

/// The workers that are there or were lately.
///
/// # Errors
/// When the API is away.
pub(super) async fn list(client: &Client) -> anyhow::Result<Vec<Worker>> {
    let answer: Answer<Worker> = client.get_as("/api/v1/workers", &[]).await?;
    Ok(answer.workers)
}

impl Args {
    /// Prints them, one a line, or does what the command after it says.
    ///
    /// # Errors
    /// When the API is away, or that command's own.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(Command::Drain(drain)) = self.command {
            return drain.run().await;
        }
        let client = Client::new(&self.client.api)?;
        let mut terminal = Terminal::new();
        if self.client.json {
            let answer: Answer<Json> = client.get_as("/api/v1/workers", &[]).await?;
            for worker in &answer.workers {
                terminal.json(worker)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(&[
            "NAME",
            "STATUS",
            "RUNNING",
            "WAITING",
            "COMPLETED",
            "FAILED",
            "SEEN",
            "PID",
            "HOST",
        ]);
        let now = now();
        for worker in list(&client).await? {
            table.row([
                one_line(&worker.name),
                paint(&worker.status).to_string(),
                format!("{} of {}", worker.running, worker.slots),
                worker.assigned.to_string(),
                worker.tasks_completed.to_string(),
                worker.tasks_failed.to_string(),
                relative(worker.last_active_at, now),
                worker.pid.to_string(),
                one_line(&worker.host),
            ]);
        }
        table.print(&mut terminal)?;
        Ok(ExitCode::SUCCESS)
    }
}
