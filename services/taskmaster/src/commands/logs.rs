//! `taskmaster logs`.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;
use uuid::Uuid;

use super::follow::{Followed, follow};
use crate::cli::ClientArgs;
use crate::client::Client;
use crate::output::Terminal;

/// Print what a task's command wrote
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The task's id
    id: Uuid,
    /// Go on until the task has ended
    #[arg(short, long)]
    follow: bool,
    /// Of this attempt, counted from 1; the latest unless told
    #[arg(long, value_name = "N")]
    attempt: Option<u32>,
    #[command(flatten)]
    client: ClientArgs,
}

impl Args {
    /// Prints it: as it was written, or with `--json` in pieces (followed) or as one object.
    ///
    /// # Errors
    /// When there is no such task or attempt, or the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let mut terminal = Terminal::new();
        if self.follow {
            return Ok(
                match follow(
                    &client,
                    self.id,
                    self.attempt,
                    self.client.json,
                    &mut terminal,
                )
                .await?
                {
                    Followed::Ended(_) => ExitCode::SUCCESS,
                    Followed::Interrupted => ExitCode::from(130),
                },
            );
        }
        let path = format!("/api/v1/tasks/{}/output", self.id);
        let query: Vec<_> = self
            .attempt
            .map(|attempt| ("attempt", attempt.to_string()))
            .into_iter()
            .collect();
        let mut response = client.download(&path, &query).await?;
        let mut text = Vec::new();
        while let Some(part) = response.chunk().await.context("the output was cut short")? {
            if self.client.json {
                text.extend_from_slice(&part);
            } else {
                terminal.bytes(&part)?;
            }
        }
        if self.client.json {
            let text = String::from_utf8_lossy(&text);
            terminal.json(&json!({ "task_id": self.id, "attempt": self.attempt, "text": text }))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
