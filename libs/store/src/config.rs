//! Where Postgres is and how many connections to it.

use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool};

use crate::Result;
use crate::pool::{PING_TIMEOUT, POOL_TIMEOUT};

/// How to reach Postgres.
#[derive(Debug, Clone, clap::Args)]
pub struct StoreConfig {
    /// Postgres, as postgres://user:password@host:port/database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: SecretString,
    /// The most connections to Postgres this process keeps open
    #[arg(
        long,
        env = "TASKMASTER_DATABASE_CONNECTIONS",
        default_value_t = 10,
        value_name = "N"
    )]
    pub database_connections: u32,
}

impl StoreConfig {
    /// A configuration made in code.
    #[must_use]
    pub fn new(database_url: SecretString, database_connections: u32) -> Self {
        Self {
            database_url,
            database_connections,
        }
    }

    /// Where Postgres is, without the password: for messages.
    #[must_use]
    pub fn redacted(&self) -> String {
        match PgConnectOptions::from_str(self.database_url.expose_secret()) {
            Ok(options) => format!("{}:{}", options.get_host(), options.get_port()),
            Err(_) => "an address that cannot be read".to_owned(),
        }
    }

    fn options(&self) -> Result<PgConnectOptions> {
        let options = PgConnectOptions::from_str(self.database_url.expose_secret())?;
        // A statement's text may hold a user's command: slow ones are logged by Postgres, not by us.
        Ok(options
            .application_name("taskmaster")
            .disable_statement_logging())
    }

    /// A pool that connects when it is first used, so that a service starts while Postgres is still away.
    ///
    /// Its connections plan every execution anew, by the size that the tables have then. A plan kept from a time when
    /// the live table was nearly empty would read the whole of it for each task of a batch after a burst, until the
    /// next autovacuum.
    ///
    /// And none is compiled: that costs 20 ms and more, in every execution, and no statement of ours runs for so long.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn pool(&self) -> Result<PgPool> {
        Ok(PgPoolOptions::new()
            .max_connections(self.database_connections)
            .acquire_timeout(POOL_TIMEOUT)
            // Not an option of the connection's start: PgBouncer refuses those.
            .after_connect(|connection, _| {
                Box::pin(async move {
                    sqlx::raw_sql("set plan_cache_mode = force_custom_plan; set jit = off")
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            // A connection whose statement was given up is asked whether it still answers, but not for long.
            .after_release(|connection, _| {
                Box::pin(async move {
                    let answer = tokio::time::timeout(PING_TIMEOUT, connection.ping()).await;
                    answer.unwrap_or_else(|_| {
                        Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into())
                    })?;
                    Ok(true)
                })
            })
            .connect_lazy_with(self.options()?))
    }

    /// One connection outside any pool.
    ///
    /// # Errors
    /// When the address cannot be read or Postgres is away.
    pub async fn connect(&self) -> Result<sqlx::PgConnection> {
        Ok(self.options()?.connect().await?)
    }
}
