//! `taskmaster workers drain`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use serde_json::json;
use taskmaster_core::WorkerName;
use tokio::time::{Instant, interval};

use crate::cli::{ClientArgs, duration};
use crate::client::{Client, Error, Worker};
use crate::output::{Terminal, count};

/// Let workers finish what they run, take nothing new, and end
///
/// What they have not started goes to others at once. Whatever started them, such as systemd or Kubernetes, may start them
/// again; `taskmaster up` does not.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The workers' names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<WorkerName>,
    /// Return when they are gone
    #[arg(long)]
    wait: bool,
    /// How long --wait waits: 90s, 10m
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5m",
        requires = "wait",
        value_parser = duration::positive_seconds
    )]
    timeout: i64,
    #[command(flatten)]
    client: ClientArgs,
}

impl Args {
    /// Asks each of them, and waits until they are gone if told to.
    ///
    /// # Errors
    /// When one of them is not there (the others are asked all the same), they are not gone in time, or the API is away.
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let mut terminal = Terminal::new();
        let (mut draining, mut refused) = (Vec::new(), Vec::new());
        for name in &self.names {
            let path = format!("/api/v1/workers/{name}/drain");
            match client.post(&path, &json!({})).await {
                Ok(answer) => {
                    let worker: Worker = client.read(&answer)?;
                    if self.client.json {
                        terminal.json(&answer)?;
                    } else {
                        let running = usize::try_from(worker.running).unwrap_or_default();
                        let running = count(running, "task");
                        terminal.line(format!("{name} is draining: {running} to finish"))?;
                    }
                    draining.push(worker);
                }
                Err(Error::Refused { problem, .. }) => refused.push(problem.to_string()),
                Err(error) => return Err(error.into()),
            }
        }
        if self.wait {
            self.wait(&client, draining).await?;
        }
        if !refused.is_empty() {
            bail!(refused.join("; "));
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn wait(&self, client: &Client, mut draining: Vec<Worker>) -> anyhow::Result<()> {
        let patience = Duration::from_secs(self.timeout.unsigned_abs());
        let deadline = Instant::now() + patience;
        let mut tick = interval(Duration::from_millis(200));
        loop {
            tick.tick().await;
            let there = super::list(client).await?;
            // One that was started again under its name is another.
            draining.retain(|worker| {
                there.iter().any(|other| {
                    other.name == worker.name
                        && other.started_at == worker.started_at
                        && !other.is_offline()
                })
            });
            if draining.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let names: Vec<&str> = draining.iter().map(|worker| &*worker.name).collect();
                bail!(
                    "after {} s still draining: {}",
                    patience.as_secs(),
                    names.join(", ")
                );
            }
        }
    }
}
