//! One change of the fleet at a time, however many APIs there are: an advisory lock of a transaction, on a connection of
//! its own. A transaction's lock also works through PgBouncer; a session's does not.

use std::time::Duration;

use sqlx::{Connection, PgConnection};

use crate::error::ANSWER_TIMEOUT;
use crate::{Error, Result, StoreConfig, bounded};

/// "tm fleet" in ASCII.
const LOCK: i64 = 0x746d_2066_6c65_6574;

/// How long a change may take. One that hangs has lost the lock then, and others get their turn.
const LONGEST: Duration = Duration::from_secs(300);

/// Whoever has it may change the fleet. Dropping it gives it up as soon as Postgres notices that the connection is gone.
#[derive(Debug)]
pub struct FleetLock {
    connection: PgConnection,
}

impl FleetLock {
    /// Waits for the lock for up to `patience`; `None` if somebody else has it all that time.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn acquire(config: &StoreConfig, patience: Duration) -> Result<Option<Self>> {
        let acquiring = acquire(config, patience);
        tokio::time::timeout(patience + ANSWER_TIMEOUT, acquiring)
            .await
            .unwrap_or(Err(Error::NoAnswer))
    }

    /// Gives it up, so that the next one has it at once.
    ///
    /// # Errors
    /// When the connection was gone already, and the lock with it; or Postgres does not answer in time.
    pub async fn release(mut self) -> Result<()> {
        let releasing = async {
            sqlx::query("commit").execute(&mut self.connection).await?;
            self.connection.close().await?;
            Ok(())
        };
        bounded(releasing).await
    }
}

async fn acquire(config: &StoreConfig, patience: Duration) -> Result<Option<FleetLock>> {
    let mut connection = config.connect().await?;
    sqlx::query("begin").execute(&mut connection).await?;
    for (setting, limit) in [
        // Zero would be no limit.
        ("lock_timeout", patience.max(Duration::from_millis(1))),
        ("idle_in_transaction_session_timeout", LONGEST),
    ] {
        sqlx::query("select set_config($1, $2, true)")
            .bind(setting)
            .bind(format!("{}ms", limit.as_millis()))
            .execute(&mut connection)
            .await?;
    }
    let locked = sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut connection)
        .await;
    match locked {
        Ok(_) => Ok(Some(FleetLock { connection })),
        Err(error) if is_timeout(&error) => {
            connection.close().await?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// 55P03: lock not available.
fn is_timeout(error: &sqlx::Error) -> bool {
    let database = error.as_database_error();
    database.is_some_and(|database| database.code().is_some_and(|code| code == "55P03"))
}
