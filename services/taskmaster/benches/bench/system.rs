//! A system to be measured: servers as `taskmaster up` starts them, a coordinator, an API, and workers.

use std::path::Path;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use rustix::process::Signal;
use taskmaster_store::{PgPool, StoreConfig};
use taskmaster_testkit::sqlx::{self, AssertSqlSafe};
use taskmaster_testkit::{Api, PrivateServers, Process, Stack, open_folder};

/// See the module.
pub(crate) struct System<'a> {
    pub(crate) stack: &'a mut Stack,
    pub(crate) pool: PgPool,
}

/// Enough slots that a worker of tasks that take no time never waits for one: a started task holds one from the commit of its
/// start to its end.
pub(crate) const MANY_SLOTS: &[&str] = &["--slots", "1000", "--database-connections", "5"];
/// For short commands: enough that there is always one to run while the ends and the starts of others are written.
pub(crate) const MORE_SLOTS: &[&str] = &["--slots", "64", "--database-connections", "5"];
/// As `taskmaster up` starts them.
pub(crate) const USUAL_SLOTS: &[&str] = &["--database-connections", "5"];

/// Lets workers drain, and waits until they have gone.
pub(crate) async fn stop(workers: Vec<Process>) -> Result<()> {
    for mut worker in workers {
        worker.signal(Signal::TERM)?;
        worker.wait().await?;
    }
    Ok(())
}

impl System<'_> {
    /// Runs `measure` on a system without workers.
    ///
    /// # Errors
    /// When it does not start, or those of `measure`.
    pub(crate) async fn run(
        bin: Option<&Path>,
        measure: impl AsyncFnOnce(&mut System<'_>) -> Result<()>,
    ) -> Result<()> {
        let folder = open_folder()?;
        let servers = PrivateServers::start_durable(folder.path(), bin).await?;
        let urls = (servers.database_url(), servers.amqp_url());
        let executable = env!("CARGO_BIN_EXE_taskmaster");
        Stack::run_at(executable, folder, servers, urls, async |stack| {
            let pool = StoreConfig::new(stack.database_url().to_owned().into(), 8).pool()?;
            measure(&mut System { stack, pool }).await
        })
        .await
    }

    /// Starts so many workers, and waits until they are online.
    pub(crate) async fn workers(&self, count: usize, options: &[&str]) -> Result<Vec<Process>> {
        let mut workers = Vec::new();
        for number in 0..count {
            let name = format!("worker-{number}");
            workers.push(self.stack.worker(&name, options).await?);
        }
        Ok(workers)
    }

    pub(crate) fn api(&self) -> &Api {
        self.stack.api()
    }

    /// The moment, by Postgres's clock.
    pub(crate) async fn now(&self) -> Result<DateTime<Utc>> {
        let now = sqlx::query_scalar("select clock_timestamp()");
        Ok(now.fetch_one(&self.pool).await?)
    }

    /// How many tasks have ended, and when that was so.
    pub(crate) async fn ended(&self) -> Result<(i64, DateTime<Utc>)> {
        let row = sqlx::query_as(
            "select coalesce(sum(count), 0)::bigint, clock_timestamp() from finished_counts",
        );
        Ok(row.fetch_one(&self.pool).await?)
    }

    /// How many tasks have not.
    pub(crate) async fn live(&self) -> Result<i64> {
        // As the product counts: to read them all, ten times a second, would be a part of what is measured.
        let row = sqlx::query_scalar("select coalesce(sum(count), 0)::bigint from live_counts");
        Ok(row.fetch_one(&self.pool).await?)
    }

    /// Waits until none is left.
    pub(crate) async fn until_drained(&self) -> Result<()> {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
        while self.live().await? > 0 {
            tick.tick().await;
        }
        Ok(())
    }

    /// A database of its own on the same server, with our tables; dropped by [`drop_database`](Self::drop_database).
    pub(crate) async fn database(&self, name: &str) -> Result<PgPool> {
        let url = self.empty_database(name).await?;
        let pool = StoreConfig::new(url.into(), 4).pool()?;
        taskmaster_store::migrate(&pool).await?;
        Ok(pool)
    }

    /// The same without our tables: how to connect to it.
    pub(crate) async fn empty_database(&self, name: &str) -> Result<String> {
        let (place, _) = self
            .stack
            .database_url()
            .rsplit_once('/')
            .context("no database in the address")?;
        let create = format!("create database {name}");
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&self.pool)
            .await?;
        Ok(format!("{place}/{name}"))
    }

    /// So that nothing that was measured before is written out while the next is.
    pub(crate) async fn checkpoint(&self) -> Result<()> {
        sqlx::raw_sql("checkpoint").execute(&self.pool).await?;
        Ok(())
    }

    pub(crate) async fn drop_database(&self, name: &str) -> Result<()> {
        let drop = format!("drop database {name} with (force)");
        sqlx::raw_sql(AssertSqlSafe(drop))
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
