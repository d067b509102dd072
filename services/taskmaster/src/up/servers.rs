//! The private Postgres and RabbitMQ of `up`: started side by side, started again when one dies, stopped in order.

use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use secrecy::SecretString;
use taskmaster_embedded::{Guard, Postgres, PostgresConfig, RabbitMq, RabbitMqConfig, StopMode};
use taskmaster_runtime::Backoff;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::slot::Slot;
use crate::GUARD;
use crate::output::Terminal;

/// The servers that are ours; none of those that someone else runs.
#[derive(Debug, Default)]
pub(super) struct Servers {
    postgres: Slot<Postgres>,
    rabbitmq: Slot<RabbitMq>,
    watchers: TaskTracker,
    stopping: CancellationToken,
}

/// Where the two are, by whoever they are run.
pub(super) struct Addresses {
    pub(super) database_url: SecretString,
    pub(super) amqp_url: SecretString,
}

impl Servers {
    /// Starts what has no address yet, side by side, and tells when each is ready.
    ///
    /// # Errors
    /// When one cannot be started: what to install or to set.
    pub(super) async fn start(
        &mut self,
        folder: &Path,
        database_url: Option<SecretString>,
        amqp_url: Option<SecretString>,
    ) -> anyhow::Result<Addresses> {
        let postgres = async {
            if let Some(url) = database_url {
                return Ok(url);
            }
            let mut config = PostgresConfig::new(folder.join("postgres"));
            config.guard = guard();
            let server = self
                .postgres
                .start("Postgres", Postgres::start(config))
                .await?;
            anyhow::Ok(server.url())
        };
        let rabbitmq = async {
            if let Some(url) = amqp_url {
                return Ok(url);
            }
            let mut config = RabbitMqConfig::new(folder.join("rabbitmq"));
            config.guard = guard();
            let server = self
                .rabbitmq
                .start("RabbitMQ", RabbitMq::start(config))
                .await?;
            anyhow::Ok(server.url())
        };
        match tokio::try_join!(postgres, rabbitmq) {
            Ok((database_url, amqp_url)) => {
                self.watch();
                Ok(Addresses {
                    database_url,
                    amqp_url,
                })
            }
            Err(error) => {
                // Whoever waits for the error should not have to wait for the other server.
                self.postgres.abandon();
                self.rabbitmq.abandon();
                Err(error)
            }
        }
    }

    /// Whether Postgres is ours, and so how many connections it takes.
    pub(super) fn own_postgres(&self) -> bool {
        self.postgres.running().is_some()
    }

    /// Stops them: RabbitMQ first, because whoever writes down what it carried writes it to Postgres. One that is still
    /// starting is waited for, until `now`.
    pub(super) async fn stop(&mut self, now: &CancellationToken, terminal: &mut Terminal) {
        self.stopping.cancel();
        self.watchers.close();
        self.watchers.wait().await;
        if let Some(rabbitmq) = self.rabbitmq.settle("RabbitMQ", now).await {
            terminal.note("stopping RabbitMQ …");
            rabbitmq.stop().await;
        }
        if let Some(postgres) = self.postgres.settle("Postgres", now).await {
            terminal.note("stopping Postgres …");
            postgres.stop(StopMode::Fast).await;
        }
    }

    fn watch(&self) {
        if let Some(server) = self.postgres.running() {
            let exited = {
                let server = server.clone();
                move || server.exited()
            };
            let restart = move || {
                let server = server.clone();
                async move { server.restart().await }
            };
            let stopping = self.stopping.clone();
            self.watchers
                .spawn(keep("Postgres", stopping, exited, restart));
        }
        if let Some(server) = self.rabbitmq.running() {
            let exited = {
                let server = server.clone();
                move || server.exited()
            };
            let restart = move || {
                let server = server.clone();
                async move { server.restart().await }
            };
            let stopping = self.stopping.clone();
            self.watchers
                .spawn(keep("RabbitMQ", stopping, exited, restart));
        }
    }
}

/// What ends the servers with us, however we end.
fn guard() -> Guard {
    Guard::this_executable([GUARD])
}

/// Starts a server again whenever it ends, until everything stops.
async fn keep<Exit, Restart>(
    what: &'static str,
    stopping: CancellationToken,
    exited: impl Fn() -> Exit,
    restart: impl Fn() -> Restart,
) where
    Exit: Future<Output = ExitStatus>,
    Restart: Future<Output = Result<(), taskmaster_embedded::Error>>,
{
    /// A server that ran so long was well.
    const WELL: Duration = Duration::from_secs(30);
    let mut backoff = Backoff::default();
    let mut started = Instant::now();
    while let Some(status) = stopping.run_until_cancelled(exited()).await {
        if started.elapsed() > WELL {
            backoff.reset();
        }
        tracing::error!(%status, "{what} has ended; starting it again");
        let again = async {
            loop {
                backoff.wait().await;
                match restart().await {
                    Ok(()) => break,
                    Err(error) => {
                        tracing::error!(%error, "{what} could not be started again; trying it once more")
                    }
                }
            }
        };
        if stopping.run_until_cancelled(again).await.is_none() {
            return;
        }
        started = Instant::now();
        tracing::warn!("{what} runs again");
    }
}
