//! Connections of a pool, opened one at a time.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgPool, Postgres};
use tokio::sync::Semaphore;

use crate::Result;

/// How long a connection is waited for, whether it has to be opened or only to come free.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the pool itself tries at a time. Between two tries to connect it pauses for up to a fifth of that, so a
/// Postgres that is back is noticed half a second later at most.
pub(crate) const POOL_TIMEOUT: Duration = Duration::from_millis(2500);

/// The right to open a connection, of which this process has one. Postgres forks a process for whoever knocks, also
/// while it cannot let anybody in: if each statement knocked for itself, a Postgres that has crashed would spend on
/// refusals what its recovery needs, and then everybody would come in at once.
static TURN: Semaphore = Semaphore::const_new(1);

/// A connection that answers: a free one, or a new one. Every statement of this crate that is given a pool begins here.
///
/// # Errors
/// When there is none for 5 seconds, or Postgres refuses.
pub async fn acquire(pool: &PgPool) -> Result<PoolConnection<Postgres>> {
    let acquired = tokio::time::timeout(ACQUIRE_TIMEOUT, async {
        while let Some(mut connection) = pool.try_acquire() {
            match connection.ping().await {
                Ok(()) => return Ok(connection),
                Err(_) => drop(connection.detach()),
            }
        }
        let _turn = TURN.acquire().await;
        loop {
            match pool.acquire().await {
                Err(sqlx::Error::PoolTimedOut) => {}
                acquired => return acquired,
            }
        }
    });
    Ok(acquired.await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?)
}
