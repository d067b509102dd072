//! A database of its own for each test, on the server that the environment names.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgPool};

use crate::{eventually, random_name};

/// A fresh database with the newest schema. Dropped with this.
#[derive(Debug)]
pub struct TestDatabase {
    pool: PgPool,
    server: PgConnectOptions,
    name: String,
}

impl TestDatabase {
    /// Makes it on the server of `TASKMASTER_TEST_DATABASE_URL`, or else `DATABASE_URL`, whose user may create databases.
    ///
    /// # Errors
    /// When there is no such server, or a migration fails.
    pub async fn create() -> Result<Self> {
        let database = Self::create_empty().await?;
        migrations().await?.run(&database.pool).await?;
        Ok(database)
    }

    /// The same without a schema.
    ///
    /// # Errors
    /// When there is no such server.
    pub async fn create_empty() -> Result<Self> {
        let url = std::env::var("TASKMASTER_TEST_DATABASE_URL")
            .or_else(|_| std::env::var("DATABASE_URL"))
            .context("TASKMASTER_TEST_DATABASE_URL is not set: run `cargo xtask test`")?;
        let server = PgConnectOptions::from_str(&url)?.disable_statement_logging();
        let name = random_name("taskmaster_test_");
        execute(&server, format!("create database {name}"))
            .await
            .context("cannot create a database for a test")?;
        let pool = PgPoolOptions::new()
            .max_connections(10)
            .connect_lazy_with(server.clone().database(&name));
        Ok(Self { pool, server, name })
    }

    /// Connections to it.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// How to connect to it.
    #[must_use]
    pub fn url(&self) -> String {
        let options = self.server.clone().database(&self.name);
        options.to_url_lossy().to_string()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let server = self.server.clone();
        let statement = format!("drop database if exists {} with (force)", self.name);
        // A thread of its own: the test's runtime may be this very thread, or gone.
        let dropped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(execute(&server, statement))
        });
        // The server of `cargo xtask test` goes as a whole anyway.
        drop(dropped.join());
    }
}

/// The schema's. Read when the test runs: a new one needs no new build of this crate.
pub(crate) async fn migrations() -> Result<Migrator> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    Ok(Migrator::new(folder).await?)
}

async fn execute(server: &PgConnectOptions, statement: String) -> Result<()> {
    let mut connection = server.connect().await?;
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await?;
    Ok(connection.close().await?)
}

/// Waits until `count` statements in this database wait for locks.
///
/// # Errors
/// When Postgres is away, or so many never wait.
pub async fn until_waiting(pool: &PgPool, count: i64) -> Result<()> {
    eventually(&format!("{count} statements wait for locks"), async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_one(pool)
        .await?;
        Ok(if waiting >= count {
            Ok(())
        } else {
            Err(waiting.to_string())
        })
    })
    .await
}
