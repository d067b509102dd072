//! The cleaner: makes the partitions of the next days, drops those that are past the retention, and forgets idempotency
//! keys that are older than a day, audit entries that are older than three months, and what the autoscaler decided before
//! the retention.

use std::time::Duration;

use taskmaster_runtime::{Next, Periodic};
use taskmaster_store::{PgPool, audit, autoscaler, keys, partitions};

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(600);

/// Keeps history within its retention, idempotency keys for a day, and the audit for three months at least.
pub struct Cleaner {
    pool: PgPool,
    retention_days: i32,
}

impl Cleaner {
    /// A cleaner that keeps `retention_days` days.
    #[must_use]
    pub fn new(pool: PgPool, retention_days: i32) -> Self {
        Self {
            pool,
            retention_days,
        }
    }
}

impl Periodic for Cleaner {
    const NAME: &'static str = "cleaner";

    /// One pass.
    ///
    /// # Errors
    /// When Postgres is away, or a partition that is to go is being read for long.
    async fn run_once(&mut self) -> anyhow::Result<Next> {
        let made = partitions::ensure(&self.pool, partitions::DAYS_AHEAD).await?;
        // Before the history: a key that is known names tasks that are there.
        let forgotten = keys::clean(&self.pool).await?;
        let decisions = autoscaler::clean(&self.pool, self.retention_days).await?;
        let audited = audit::clean(&self.pool, self.retention_days).await?;
        let dropped = match partitions::drop_older_than(&self.pool, self.retention_days).await {
            Ok(dropped) => dropped,
            // Whoever reads a partition for long, as a backup does, may finish. Waiting for the lock holds up every
            // writer behind it, so it is not tried again at once.
            Err(error) if error.is_unavailable() => {
                tracing::info!(%error, "old partitions are dropped later");
                return Ok(Next::After(INTERVAL));
            }
            Err(error) => return Err(error.into()),
        };
        if made + dropped > 0 || forgotten + decisions + audited > 0 {
            tracing::info!(
                audit.forgotten = audited,
                keys.forgotten = forgotten,
                decisions.forgotten = decisions,
                partitions.made = made,
                partitions.dropped = dropped,
                "cleaned"
            );
        }
        Ok(Next::After(INTERVAL))
    }
}
