//! `taskmaster healthcheck`: for whoever watches a container.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Url;
use taskmaster_runtime::{ALIVE_FILE, last_alive};

use crate::client::Client;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(4);

/// Exit with 0 if the service in this container lives: for HEALTHCHECK and the like
///
/// Says that its process and its event loop turn, not that Postgres or RabbitMQ are there: `doctor` and /readyz do that.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file that the service touches each second
    #[arg(long, env = ALIVE_FILE, value_name = "FILE", required_unless_present = "url")]
    file: Option<PathBuf>,
    /// Seconds after which a service that has not touched it hangs
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    max_age: u64,
    /// Ask the API here instead, as http://127.0.0.1:8081/healthz
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
}

impl Args {
    /// Looks once.
    ///
    /// # Errors
    /// When the service does not live, and why.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(url) = &self.url {
            let asked = async { Client::new(url)?.get("", &[]).await.map_err(Into::into) };
            let answer: anyhow::Result<_> = tokio::time::timeout(PATIENCE, asked)
                .await
                .with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))?;
            answer?;
            return Ok(ExitCode::SUCCESS);
        }
        let file = self.file.unwrap_or_default();
        let age = last_alive(&file)
            .with_context(|| format!("{}: has the service started?", file.display()))?;
        ensure!(
            age <= Duration::from_secs(self.max_age),
            "the service hangs: it touched {} {} s ago",
            file.display(),
            age.as_secs()
        );
        Ok(ExitCode::SUCCESS)
    }
}
