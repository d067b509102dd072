//! Postgres, the only truth. Every SQL statement of the project lives in this crate, one file for each table or move.
//!
//! Moves of a task are named, guarded statements: id + expected status + lease. Zero rows is an answer, not an
//! error: whoever asked had lost the lease. Batches are sorted by id before they get here or in here, so that two
//! of them never wait for each other in a circle. Every stored time is the database's `now()`.

pub mod attempts;
pub mod audit;
pub mod autoscaler;
pub mod cancel;
pub mod claim;
pub mod finish;
pub mod fleet_lock;
pub mod inspect;
pub mod keys;
pub mod leadership;
pub mod output;
pub mod partitions;
pub mod rescue;
pub mod start;
pub mod stats;
pub mod submit;
pub mod tasks;
pub mod witness;
pub mod workers;

mod config;
mod error;
#[cfg(feature = "openapi")]
mod openapi;
mod pool;

pub use config::StoreConfig;
pub use error::{Error, bounded};
pub use pool::{Connections, Kept, Lent, acquire};
pub use sqlx::PgPool;
pub use tasks::Task;

/// What every function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations");

/// Brings the schema up to date, under a lock, and makes the partitions of the next days.
///
/// # Errors
/// When Postgres is away, or the schema is newer than this program.
pub async fn migrate(pool: &PgPool) -> Result<()> {
    let mut connection = acquire(pool).await?;
    // Not `run`: its future is not known to be `Send` for every lifetime of what it borrows.
    MIGRATOR.run_direct(None, &mut *connection, false).await?;
    partitions::ensure(pool, partitions::DAYS_AHEAD).await?;
    Ok(())
}

/// Asks Postgres for an answer, whatever it is.
///
/// # Errors
/// When Postgres is away.
pub async fn ping(pool: &PgPool) -> Result<()> {
    sqlx::query_scalar!("select 1")
        .fetch_one(&mut *acquire(pool).await?)
        .await?;
    Ok(())
}
