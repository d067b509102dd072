//! `taskmaster retry`.

use std::process::ExitCode;

use uuid::Uuid;

use crate::cli::ClientArgs;
use crate::client::{Client, Task};
use crate::output::Terminal;

/// Run a task again that failed or was cancelled
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The task's id
    id: Uuid,
    #[command(flatten)]
    client: ClientArgs,
}

impl Args {
    /// Schedules it again.
    ///
    /// # Errors
    /// When it has not failed nor was cancelled, or the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let answer = client
            .post(
                &format!("/api/v1/tasks/{}/retry", self.id),
                &serde_json::json!({}),
            )
            .await?;
        let mut terminal = Terminal::new();
        if self.client.json {
            terminal.json(&answer)?;
        } else {
            let task: Task = client.read(&answer)?;
            terminal.line(format!("task {}: {}", task.id, task.status))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
