//! The coordinator: claims due tasks and publishes assignments, rescues what was lost, takes in submissions from
//! AMQP, keeps history within its retention.
//!
//! Any number may run. All of them take in submissions; one of them leads, and only it claims, rescues and cleans.
//! Two that both think they lead do no harm: every move is guarded by the task's lease.

pub mod cleaner;
pub mod dispatcher;
pub mod intake;
pub mod rescuer;
mod supply;

mod leader;

use anyhow::Context;
use taskmaster_broker::{BrokerConfig, EventPublisher};
use taskmaster_runtime::Backoff;
use taskmaster_store::{PgPool, StoreConfig};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How a coordinator is set up.
#[derive(Debug, Clone, clap::Args)]
pub struct CoordinatorConfig {
    /// Where Postgres is.
    #[command(flatten)]
    pub store: StoreConfig,
    /// Where RabbitMQ is.
    #[command(flatten)]
    pub broker: BrokerConfig,
    /// Days that finished tasks, their attempts and their output are kept
    #[arg(long, env = "TASKMASTER_RETENTION_DAYS", default_value_t = 30, value_name = "DAYS",
        value_parser = clap::value_parser!(i32).range(1..=36500))]
    pub retention_days: i32,
    /// Seconds after a task's time limit at which its run is ended here, if its worker has not ended it: it heartbeats
    /// but hangs. More than any worker's --kill-grace
    #[arg(long, env = "TASKMASTER_OVERDUE_GRACE", default_value_t = OVERDUE_GRACE, value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub overdue_grace: u32,
}

/// The workers' own `--kill-grace` is 5 s unless told; this leaves them time to report.
const OVERDUE_GRACE: u32 = 30;

impl CoordinatorConfig {
    /// A configuration made in code, with the defaults of the command line.
    #[must_use]
    pub fn new(store: StoreConfig, broker: BrokerConfig) -> Self {
        Self {
            store,
            broker,
            retention_days: 30,
            overdue_grace: OVERDUE_GRACE,
        }
    }
}

/// What the coordinator's services share.
#[derive(Clone)]
struct Shared {
    config: CoordinatorConfig,
    pool: PgPool,
    events: EventPublisher,
}

/// Runs a coordinator until `shutdown`. Postgres and RabbitMQ may come and go.
///
/// # Errors
/// When the configuration cannot be read, or the schema in Postgres is not one that this version can work with.
pub async fn run(config: CoordinatorConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    config.broker.check().context("AMQP_URL")?;
    let pool = config.store.pool().context("DATABASE_URL")?;
    migrate(&pool, &config.store, &shutdown).await?;
    let events = EventPublisher::spawn(
        config.broker.clone(),
        "taskmaster coordinator",
        shutdown.clone(),
    );
    let shared = Shared {
        config,
        pool,
        events,
    };

    let mut services = JoinSet::new();
    services.spawn(intake::run(
        shared.pool.clone(),
        shared.config.broker.clone(),
        shared.events.clone(),
        shutdown.clone(),
    ));
    services.spawn(leader::run(shared, shutdown));
    while let Some(ended) = services.join_next().await {
        ended.context("a service of the coordinator panicked")?;
    }
    Ok(())
}

/// Brings the schema up to date, waiting for Postgres if it is away.
async fn migrate(
    pool: &PgPool,
    config: &StoreConfig,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut backoff = Backoff::default();
    loop {
        match taskmaster_store::migrate(pool).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_unavailable() => {
                if backoff.is_fresh() {
                    tracing::warn!(postgres.address = config.redacted(), %error, "waits for Postgres");
                }
                tokio::select! {
                    () = shutdown.cancelled() => return Ok(()),
                    () = backoff.wait() => {}
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}
