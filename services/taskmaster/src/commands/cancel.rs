//! `taskmaster cancel`.

use std::process::ExitCode;

use uuid::Uuid;

use crate::cli::ClientArgs;
use crate::client::{Client, Task};
use crate::output::Terminal;

/// Stop a task, whether it waits or runs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The task's id
    id: Uuid,
    #[command(flatten)]
    client: ClientArgs,
}

impl Args {
    /// Asks for the stop. A task that runs needs a moment to end.
    ///
    /// # Errors
    /// When it has ended already, or the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let answer = client
            .post(
                &format!("/api/v1/tasks/{}/cancel", self.id),
                &serde_json::json!({}),
            )
            .await?;
        let mut terminal = Terminal::new();
        if self.client.json {
            terminal.json(&answer)?;
        } else {
            let task: Task = client.read(&answer)?;
            let state = if task.status.is_final() {
                task.status.as_str()
            } else {
                "is being stopped"
            };
            terminal.line(format!("task {}: {state}", task.id))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
