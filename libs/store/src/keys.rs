//! Idempotency keys: which submissions were taken in already. They are written with their tasks, in `submit`.

use std::collections::HashMap;
use std::ops::Range;

use taskmaster_core::{Fingerprint, IdempotencyKey};
use uuid::Uuid;

use crate::{Connections, PgPool, Result, acquire};

/// How long a key is known, in hours, at least.
///
/// No longer than the shortest retention keeps what a day has finished: a key that is known names tasks that are there.
pub const KEPT_HOURS: i32 = 24;

/// The most keys that one statement deletes, so that none takes long.
const DELETED_AT_ONCE: i64 = 10_000;

/// Which way a submission came in: keys of different ways in are different keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The header `Idempotency-Key`.
    Http,
    /// The property `message_id`.
    Amqp,
}

impl Scope {
    /// The name that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Amqp => "amqp",
        }
    }
}

/// A submission under a key, one of those that are stored together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyed {
    /// Its key.
    pub key: IdempotencyKey,
    /// Of its tasks.
    pub fingerprint: Fingerprint,
    /// Where its tasks are among all that are stored together; at least one.
    pub tasks: Range<usize>,
}

/// A submission whose key was known: none of its tasks was stored by this call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Which one it is of those that were submitted together.
    pub index: usize,
    /// Whether what came first under that key was the same.
    pub is_same: bool,
    /// The tasks that came first under that key, in their order.
    pub task_ids: Vec<Uuid>,
}

pub(crate) struct Stored {
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) task_ids: Vec<Uuid>,
}

struct Row {
    key: String,
    fingerprint: Vec<u8>,
    task_ids: Vec<Uuid>,
}

/// What is stored under these keys, as far as there is something.
pub(crate) async fn find(
    connections: &impl Connections,
    scope: Scope,
    keys: &[&str],
) -> Result<HashMap<String, Stored>> {
    let mut connection = connections.lend().await?;
    let rows = sqlx::query_file_as!(Row, "src/find_keys.sql", scope.as_str(), keys as _)
        .fetch_all(&mut *connection)
        .await?;
    connection.done();
    let stored = rows.into_iter().map(|row| {
        let stored = Stored {
            fingerprint: row.fingerprint,
            task_ids: row.task_ids,
        };
        (row.key, stored)
    });
    Ok(stored.collect())
}

/// Forgets the keys that are older than [`KEPT_HOURS`]; returns how many.
///
/// # Errors
/// When Postgres is away: try again later.
pub async fn clean(pool: &PgPool) -> Result<u64> {
    let mut all = 0;
    loop {
        let deleted = sqlx::query!(
            "delete from idempotency_keys where ctid = any (array(
                select ctid from idempotency_keys where created_at < now() - make_interval(hours => $1)
                order by created_at limit $2))",
            KEPT_HOURS,
            DELETED_AT_ONCE
        )
        .execute(&mut *acquire(pool).await?)
        .await?
        .rows_affected();
        all += deleted;
        if deleted < DELETED_AT_ONCE as u64 {
            return Ok(all);
        }
    }
}
