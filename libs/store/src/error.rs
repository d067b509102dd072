//! What can go wrong, sorted by what the caller can do about it.

use std::time::Duration;

use crate::Result;

/// How long a statement may take that is waited for without an end otherwise.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Waits for a statement, but not for ever: a connection that was cut silently tells nothing for many minutes.
///
/// # Errors
/// The statement's own, and [`Error::NoAnswer`].
pub async fn bounded<T>(statement: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(ANSWER_TIMEOUT, statement)
        .await
        .unwrap_or(Err(Error::NoAnswer))
}

/// A statement that did not go through.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres cannot be reached or cannot serve now: try again.
    #[error("Postgres is not available: {0}")]
    Unavailable(#[source] sqlx::Error),
    /// Postgres did not answer in time; whether it did what it was asked is not known.
    #[error("Postgres did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    NoAnswer,
    /// The tables are not there yet: nothing has brought the schema up to date. Try again.
    #[error("the schema is not there yet: start a coordinator, or run 'taskmaster migrate'")]
    NotMigrated,
    /// Postgres refused the statement.
    #[error("Postgres refused a statement: {0}")]
    Refused(#[source] sqlx::Error),
    /// The schema could not be brought up to date.
    #[error("the schema could not be brought up to date: {0}")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// A stored value is none that this version knows: it was written by a newer one.
    #[error("a stored value is not known to this version: {0}")]
    UnknownValue(String),
}

impl Error {
    /// No connection came free in time.
    #[must_use]
    pub fn no_connection() -> Self {
        Self::Unavailable(sqlx::Error::PoolTimedOut)
    }

    /// Whether the same call may succeed later, once Postgres is back.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::NoAnswer | Self::NotMigrated
        )
    }

    /// Whether Postgres is there but has no room for what it was given: its disk is full, or its memory. It may have room
    /// for less.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let Self::Unavailable(sqlx::Error::Database(database)) = self else {
            return false;
        };
        // Class 53: insufficient resources. 53300: connections, which are no matter of the data.
        database
            .code()
            .is_some_and(|code| code.starts_with("53") && code != "53300")
    }

    /// Whether Postgres refused the data itself, so that the same data will be refused again.
    #[must_use]
    pub fn is_bad_data(&self) -> bool {
        // Class 22: data exception; 23: constraint violation; 54: a limit of Postgres's.
        let Self::Refused(sqlx::Error::Database(database)) = self else {
            return false;
        };
        database.code().is_some_and(|code| {
            ["22", "23", "54"]
                .iter()
                .any(|class| code.starts_with(class))
        })
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if is_away(&error) {
            return Self::Unavailable(error);
        }
        let code = error
            .as_database_error()
            .and_then(|database| database.code());
        // 42P01: undefined table.
        if code.is_some_and(|code| code == "42P01") {
            return Self::NotMigrated;
        }
        Self::Refused(error)
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) if is_away(&error) => {
                Self::Unavailable(error)
            }
            error => Self::Migration(error),
        }
    }
}

/// Whether the fault lies in the connection or in a server that starts, stops or is full, not in the statement.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Class 08: connection exception; 28 and 3D000: the password or the database is not the one it was; 53:
        // insufficient resources; 57: operator intervention (shutdown, starting up, cancelled); 58: the system around
        // it; 40: deadlock or serialization, rolled back whole; 55P03: a lock that was waited for in vain; 25006: a
        // server that became read-only.
        sqlx::Error::Database(database) => database.code().is_some_and(|code| {
            ["08", "28", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
                || code == "3D000"
                || code == "55P03"
                || code == "25006"
                // A check that has no name is a partition's bound: the row was on its way to the default partition
                // while the day's own was being made.
                || (code == "23514" && database.constraint().is_none())
        }),
        _ => false,
    }
}
