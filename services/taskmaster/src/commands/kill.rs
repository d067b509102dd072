//! `taskmaster kill`.

use std::process::ExitCode;

use serde_json::json;

use crate::cli::ClientArgs;
use crate::client::{Client, Done};
use crate::output::Terminal;

/// Stop one worker; what it does not finish soon is handed back to run elsewhere
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The worker's name
    name: String,
    #[command(flatten)]
    client: ClientArgs,
}

impl Args {
    /// Stops it.
    ///
    /// # Errors
    /// When there is no worker of that name in the fleet, or the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let answer = client
            .post("/api/workers/kill", &json!({ "name": self.name }))
            .await?;
        let mut terminal = Terminal::new();
        if self.client.json {
            terminal.json(&answer)?;
        } else {
            let done: Done = client.read(&answer)?;
            terminal.line(done.message)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
