//! The services as processes of their own: `taskmaster api`, `coordinator`, `worker`, and `migrate`.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use rustix::process::getppid;
use taskmaster_api::ApiConfig;
use taskmaster_coordinator::CoordinatorConfig;
use taskmaster_runtime::{LogFormat, Shutdown, init_tracing, keep_alive_file};
use taskmaster_store::StoreConfig;
use taskmaster_worker::{GuardProgram, WorkerConfig};
use tokio::signal::unix::{SignalKind, signal};

use super::fleet_args::FleetArgs;
use crate::WORKER_GUARD;
use crate::failure::line;
use crate::output::Terminal;

/// For a service that another process started and that is to end with it: that process's id.
pub(crate) const PARENT_PID: &str = "TASKMASTER_PARENT_PID";

/// How services log.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArgs {
    /// How log lines look
    #[arg(long, env = "TASKMASTER_LOG_FORMAT", value_enum, default_value_t)]
    pub(crate) log_format: LogFormat,
}

/// Run the API and the dashboard
#[derive(Debug, clap::Args)]
pub(crate) struct Api {
    #[command(flatten)]
    config: ApiConfig,
    #[command(flatten)]
    fleet: FleetArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Run a coordinator
#[derive(Debug, clap::Args)]
pub(crate) struct Coordinator {
    #[command(flatten)]
    config: CoordinatorConfig,
    #[command(flatten)]
    log: LogArgs,
}

/// Run a worker
#[derive(Debug, clap::Args)]
pub(crate) struct Worker {
    #[command(flatten)]
    config: WorkerConfig,
    #[command(flatten)]
    log: LogArgs,
}

/// Bring the schema in Postgres up to date
#[derive(Debug, clap::Args)]
pub(crate) struct Migrate {
    #[command(flatten)]
    store: StoreConfig,
    #[command(flatten)]
    log: LogArgs,
}

impl Api {
    /// Runs until it is asked to stop.
    ///
    /// # Errors
    /// When its address is taken, or it fails.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        init_tracing(self.log.log_format);
        let shutdown = shutdown()?;
        let listener = taskmaster_api::bind(&self.config).await?;
        let fleet = Arc::new(self.fleet.fleet()?);
        let drain = shutdown.drain.clone();
        until_now(
            shutdown,
            taskmaster_api::serve(self.config, listener, fleet, drain),
        )
        .await
    }
}

impl Coordinator {
    /// Runs until it is asked to stop.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        init_tracing(self.log.log_format);
        let shutdown = shutdown()?;
        let drain = shutdown.drain.clone();
        until_now(shutdown, taskmaster_coordinator::run(self.config, drain)).await
    }
}

impl Worker {
    /// Runs until it is asked to stop and has drained, or the process that started it is gone.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn run(mut self) -> anyhow::Result<ExitCode> {
        init_tracing(self.log.log_format);
        let shutdown = shutdown()?;
        self.config.guard = GuardProgram::this_executable([WORKER_GUARD]);
        taskmaster_worker::run(self.config, shutdown).await?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Migrate {
    /// Does it once.
    ///
    /// # Errors
    /// When Postgres is away or refuses, in one line that says where to look, without the password.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        init_tracing(self.log.log_format);
        migrate(&self.store).await?;
        Terminal::new().line("the schema is up to date")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Brings the schema up to date at the first try.
///
/// # Errors
/// As [`Migrate::run`].
pub(crate) async fn migrate(store: &StoreConfig) -> anyhow::Result<()> {
    let place = store.redacted();
    // A pool would try again for a while, and then say only that it did.
    let connection = store.connect().await.map_err(|error| {
        let reason = line(&error.into());
        anyhow!("cannot use Postgres at {place} ({reason}): check DATABASE_URL, and that Postgres runs there")
    })?;
    drop(connection);
    let pool = store.pool()?;
    taskmaster_store::migrate(&pool)
        .await
        .with_context(|| format!("Postgres at {place}"))?;
    pool.close().await;
    Ok(())
}

/// What asks a service to stop: signals, and the end of the process that started it, if it is to end with that. From now
/// on it also shows that it lives, where somebody wants to know.
fn shutdown() -> anyhow::Result<Shutdown> {
    keep_alive_file();
    let shutdown = Shutdown::on_signals()?;
    if let Ok(parent) = std::env::var(PARENT_PID) {
        end_with(&parent, &shutdown)?;
    }
    Ok(shutdown)
}

/// Ends this service when the process `parent` ends without having stopped it, as when it was killed: at once, because
/// the servers that it had end as well, and then nothing that still runs can be reported. Linux only.
fn end_with(parent: &str, shutdown: &Shutdown) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        if hangup.recv().await.is_some() {
            tracing::warn!("the process that started this one is gone");
            shutdown.stop_now();
        }
    });
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::HUP))?;
    // It may have ended before the signal was asked for.
    let actual = getppid().map(|pid| pid.as_raw_nonzero().to_string());
    if actual.as_deref() != Some(parent) {
        bail!("process {parent}, which {PARENT_PID} says started this one, is gone");
    }
    Ok(())
}

/// Runs a service to its end, or until it is told for the second time to stop.
async fn until_now(
    shutdown: Shutdown,
    service: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<ExitCode> {
    tokio::select! {
        ended = service => ended.map(|()| ExitCode::SUCCESS),
        () = shutdown.now.cancelled() => Ok(ExitCode::from(130)),
    }
}
