//! Connections of a pool, opened one at a time, and those that are kept out of it.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};
use tokio::sync::{Mutex, MutexGuard, Semaphore};

use crate::Result;

/// How long a connection is waited for, whether it has to be opened or only to come free.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection may take to say that it is still there.
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(1);

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

/// How many connections a pool must have room for before some are kept out of it: two keep one each in a worker and in a
/// coordinator, and what comes in between, such as a heartbeat, must find one.
const LEAST_TO_KEEP: u32 = 4;
/// A kept connection that was not used for this long is asked whether it still answers.
const IDLE: Duration = Duration::from_millis(100);

/// Where a statement gets its connection from: a pool, or a [`Kept`] one.
pub trait Connections: Sync {
    /// A connection that answers, until its statement has ended.
    ///
    /// # Errors
    /// As [`acquire`].
    fn lend(&self) -> impl Future<Output = Result<Lent<'_>>> + Send;
}

impl Connections for PgPool {
    async fn lend(&self) -> Result<Lent<'_>> {
        Ok(Lent {
            connection: Some(acquire(self).await?),
            home: None,
        })
    }
}

/// One connection for statements that come one after the other, all the time, and are few and known.
///
/// A pool asks a connection whether it is still well each time it is taken and twice when it comes back, which costs more
/// than a small statement itself; this one is taken for well as long as its statements end well, and closed when one does
/// not. And it keeps plans: it may only be used for statements that look their rows up one by one, by an index, which is
/// the best plan whatever the size of the table; that it is taken is seen to by not letting it scan tables.
#[derive(Debug)]
pub struct Kept {
    pool: PgPool,
    slot: Mutex<Slot>,
}

/// The connection, unless there is none yet or a statement has it, and when it was last used.
type Slot = Option<(PoolConnection<Postgres>, Instant)>;

impl Kept {
    /// None yet: it is opened when it is first used. From a pool that has room for very few, none is kept.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self {
            pool,
            slot: Mutex::default(),
        }
    }
}

impl Connections for Kept {
    /// Waits for the statement before it.
    async fn lend(&self) -> Result<Lent<'_>> {
        if self.pool.options().get_max_connections() < LEAST_TO_KEEP {
            return self.pool.lend().await;
        }
        let mut home = self.slot.lock().await;
        if let Some((connection, used)) = home.take() {
            let mut lent = Lent {
                connection: Some(connection),
                home: Some(home),
            };
            if used.elapsed() < IDLE || lent.answers().await {
                return Ok(lent);
            }
            // What does not answer is closed.
            drop(lent);
            home = self.slot.lock().await;
        }
        let mut lent = Lent {
            connection: Some(acquire(&self.pool).await?),
            home: Some(home),
        };
        // In one message: behind PgBouncer, each might go to another of its connections.
        sqlx::raw_sql(
            "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set jit = off",
        )
        .execute(&mut *lent)
        .await?;
        Ok(lent)
    }
}

/// A connection for one statement, or for a few in a row: [`done`](Self::done) when they ended well.
#[derive(Debug)]
pub struct Lent<'a> {
    /// There until it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    home: Option<MutexGuard<'a, Slot>>,
}

impl Lent<'_> {
    async fn answers(&mut self) -> bool {
        let ping = tokio::time::timeout(PING_TIMEOUT, self.ping()).await;
        ping.is_ok_and(|answer| answer.is_ok())
    }

    /// Gives it back. Without this, a kept one is closed: its statement failed, or was given up and may go on.
    pub fn done(mut self) {
        if let Some(mut home) = self.home.take() {
            *home = self
                .connection
                .take()
                .map(|connection| (connection, Instant::now()));
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if self.home.is_some()
            && let Some(connection) = self.connection.take()
        {
            drop(connection.detach());
        }
    }
}

const THERE: &str = "a lent connection is there until it is dropped";

impl Deref for Lent<'_> {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection.as_deref().expect(THERE)
    }
}

impl DerefMut for Lent<'_> {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.connection.as_deref_mut().expect(THERE)
    }
}
