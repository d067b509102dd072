//! `taskmaster scale`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, interval};

use super::workers;
use crate::cli::ClientArgs;
use crate::client::{Client, Json, Scaled, Source};
use crate::output::{Terminal, one_line};

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

/// Something that was done.
#[derive(Deserialize)]
struct Step {
    name: String,
    kind: String,
    reason: Option<String>,
}

/// How it ended.
#[derive(Deserialize)]
struct End {
    error: Option<String>,
}

impl Args {
    /// Asks for the number, tells what is done for it as it is done, and waits for it if told to.
    ///
    /// # Errors
    /// When this fleet's size cannot be set, workers could not be started, they do not come in time, or the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let mut terminal = Terminal::new();
        let body = json!({ "count": self.count });
        let events = client.post_events("/api/v1/fleet/scale", &body).await?;
        let answer = decided(events, &mut terminal).await?;
        let scaled: Scaled = client.read(&answer)?;
        if self.client.json {
            terminal.json(&answer)?;
        } else {
            terminal.line(&scaled.message)?;
        }
        if !scaled.failed.is_empty() {
            let failed = scaled.failed.iter();
            let failed: Vec<String> = failed
                .map(|failed| format!("{} ({}): {}", failed.name, failed.step, failed.reason))
                .collect();
            bail!("could not be started: {}", one_line(&failed.join("; ")));
        }
        if self.wait {
            self.wait(&client).await?;
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

/// Reads events until all that is new is started and the others are told to go.
async fn decided(mut events: Source, terminal: &mut Terminal) -> anyhow::Result<Json> {
    while let Some(Ok(event)) = events.next().await {
        let odd = || format!("the API sent an event that cannot be read: {}", event.data);
        match event.event.as_str() {
            "step" => {
                let step: Step = serde_json::from_str(&event.data).with_context(odd)?;
                let reason = step.reason.map(|reason| format!(": {reason}"));
                let line = format!("{} {}{}", step.name, step.kind, reason.unwrap_or_default());
                terminal.note(one_line(&line));
            }
            "decided" => return serde_json::from_str(&event.data).with_context(odd),
            "done" => {
                let end: End = serde_json::from_str(&event.data).with_context(odd)?;
                bail!(
                    end.error
                        .unwrap_or_else(|| "nothing was changed".to_owned())
                );
            }
            _ => {}
        }
    }
    bail!(
        "the connection to the TaskMaster API was lost; look what came of it with: taskmaster audit"
    )
}
