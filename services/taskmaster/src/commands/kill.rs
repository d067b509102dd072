//! `taskmaster kill`.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::ClientArgs;
use crate::client::Client;
use crate::output::Terminal;

/// Kill one worker; what it ran is rescued
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The worker's name
    name: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Args {
    /// Kills it.
    ///
    /// # Errors
    /// When there is no worker of that name in the fleet, or the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let answer = client
            .post("/api/workers/kill", &json!({ "name": self.name }))
            .await?;
        let mut terminal = Terminal::new();
        match answer["message"].as_str() {
            Some(message) if !self.client.json => terminal.line(message)?,
            _ => terminal.json(&answer)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
