//! `taskmaster scale`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use serde_json::json;
use tokio::time::{Instant, interval};

use super::workers;
use crate::cli::ClientArgs;
use crate::client::{Client, Done};
use crate::output::Terminal;

/// How long `--wait` waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// Set how many workers there are
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many, 1 to 50
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50))]
    count: u32,
    /// Return when they are there; those that are too many may still finish what they run
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl Args {
    /// Asks for the number, and waits for it if told to.
    ///
    /// # Errors
    /// When this fleet's size cannot be set, the workers do not come in time, or the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let answer = client
            .post("/api/workers/scale", &json!({ "count": self.count }))
            .await?;
        if self.wait {
            self.wait(&client).await?;
        }
        let mut terminal = Terminal::new();
        if self.client.json {
            terminal.json(&answer)?;
        } else {
            let done: Done = client.read(&answer)?;
            terminal.line(done.message)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn wait(&self, client: &Client) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut tick = interval(Duration::from_millis(200));
        loop {
            tick.tick().await;
            let online = workers::list(client)
                .await?
                .iter()
                .filter(|worker| worker.is_online())
                .count();
            if u32::try_from(online) == Ok(self.count) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "after {} s there are {online} workers, not {}",
                    PATIENCE.as_secs(),
                    self.count
                );
            }
        }
    }
}
