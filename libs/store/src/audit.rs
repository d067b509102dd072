//! The audit: who changed the fleet, how, and what came of it, step by step.
//!
//! A row is there before anything is done. Whoever carries it out writes to it at least every few seconds; one that was
//! not written to for [`SILENCE_SECONDS`] belongs to nobody any more, and is taken over.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{PgPool, Result, acquire};

/// How long an operation may be silent until it belongs to nobody, in seconds.
pub const SILENCE_SECONDS: i32 = 30;

/// How long an entry is kept at least, in days, however short the retention of tasks is.
pub const KEPT_DAYS: i32 = 90;

/// An operation that begins.
#[derive(Debug, Clone)]
pub struct New<'a> {
    /// Its id, version 7.
    pub id: Uuid,
    /// Who asks for it.
    pub caller: &'a str,
    /// What it does: `fleet.scale` and so on.
    pub action: &'a str,
    /// The kind of fleet.
    pub fleet: &'a str,
    /// What was asked for.
    pub request: &'a Value,
    /// Why, if somebody said so.
    pub reason: Option<&'a str>,
}

/// Something that was done on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewStep {
    /// Of whom: a worker's or a container's name.
    pub name: String,
    /// What: `created`, `started` and so on.
    pub kind: String,
    /// Why it failed.
    pub reason: Option<String>,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = AuditOutcome))]
pub enum Outcome {
    /// All of it was done.
    Done,
    /// Some of it was.
    Partial,
    /// It was tried, and none of it worked.
    Failed,
    /// It was not tried.
    Refused,
}

impl Outcome {
    /// The name that is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// An operation.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = AuditEntry))]
pub struct Entry {
    /// Its id.
    pub id: Uuid,
    /// When it began.
    pub at: DateTime<Utc>,
    /// Who asked for it.
    pub caller: String,
    /// What it does: `fleet.scale`, `fleet.kill`, `fleet.drain` and so on.
    pub action: String,
    /// The kind of fleet that it is about.
    pub fleet: String,
    /// What was asked for.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeMap<String, Value>))]
    pub request: Value,
    /// Why, if somebody said so.
    pub reason: Option<String>,
    /// What was done, in order.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Step>))]
    pub steps: Json<Vec<Step>>,
    /// When all of it was decided, and set in motion; nothing: it is not yet, or its API ended before.
    pub decided_at: Option<DateTime<Utc>>,
    /// When it was over; nothing: it is under way.
    pub finished_at: Option<DateTime<Utc>>,
    /// How it ended; nothing: it is under way.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Outcome>))]
    pub outcome: Option<String>,
    /// Why it was refused, or what went wrong.
    pub error: Option<String>,
}

/// Something that was done on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = AuditStep))]
pub struct Step {
    /// When it was written down.
    pub at: DateTime<Utc>,
    /// Of whom: a worker's or a container's name.
    pub name: String,
    /// `created`, `started`, `draining`, `stopped`, `removed` or `failed`.
    pub kind: String,
    /// Why it failed.
    pub reason: Option<String>,
}

/// Writes down that an operation begins.
///
/// # Errors
/// When Postgres is away.
pub async fn begin(pool: &PgPool, new: &New<'_>) -> Result<()> {
    write(&mut *acquire(pool).await?, new, false).await
}

/// Writes down what is done in the same transaction, so that neither is there without the other.
pub(crate) async fn write_done(connection: &mut PgConnection, new: &New<'_>) -> Result<()> {
    write(connection, new, true).await
}

async fn write(connection: &mut PgConnection, new: &New<'_>, done: bool) -> Result<()> {
    sqlx::query!(
        "insert into audit (id, caller, action, fleet, request, reason, decided_at, finished_at, outcome)
         values ($1, $2, $3, $4, $5, $6, case when $7 then now() end, case when $7 then now() end,
             case when $7 then 'done' end)",
        new.id,
        new.caller,
        new.action,
        new.fleet,
        new.request,
        new.reason,
        done,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds steps after the first `position`, and says that the operation is still carried out; with no steps, that alone.
/// Those that are there already are not added again: an answer was lost, and others may have come since. Does nothing if the
/// operation is over. Both are no matter of the caller's.
///
/// # Errors
/// When Postgres is away.
pub async fn append(pool: &PgPool, id: Uuid, position: i32, steps: &[NewStep]) -> Result<()> {
    sqlx::query!(
        "update audit
         set touched_at = now(),
             steps = steps || coalesce(
                 (select jsonb_agg(jsonb_build_object('at', now()) || new.step order by new.number)
                  from jsonb_array_elements($3) with ordinality as new(step, number)
                  where new.number > jsonb_array_length(audit.steps) - $2), '[]')
         where id = $1 and finished_at is null and jsonb_array_length(steps) >= $2",
        id,
        position,
        Json(steps) as _,
    )
    .execute(&mut *acquire(pool).await?)
    .await?;
    Ok(())
}

/// Writes down that all of an operation is decided: what it sets in motion is in its steps.
///
/// # Errors
/// When Postgres is away.
pub async fn decided(pool: &PgPool, id: Uuid) -> Result<()> {
    sqlx::query!(
        "update audit set decided_at = now(), touched_at = now()
         where id = $1 and decided_at is null and finished_at is null",
        id
    )
    .execute(&mut *acquire(pool).await?)
    .await?;
    Ok(())
}

/// Writes down how an operation ended. Does nothing if that is written down already.
///
/// # Errors
/// When Postgres is away.
pub async fn finish(pool: &PgPool, id: Uuid, outcome: Outcome, error: Option<&str>) -> Result<()> {
    sqlx::query!(
        "update audit set finished_at = now(), touched_at = now(), outcome = $2, error = $3
         where id = $1 and finished_at is null",
        id,
        outcome.as_str(),
        error,
    )
    .execute(&mut *acquire(pool).await?)
    .await?;
    Ok(())
}

/// Leaves an operation to whoever takes over next, at once.
///
/// # Errors
/// When Postgres is away: it is taken over after [`SILENCE_SECONDS`] all the same.
pub async fn release(pool: &PgPool, id: Uuid) -> Result<()> {
    sqlx::query!(
        "update audit set touched_at = '-infinity' where id = $1 and finished_at is null",
        id
    )
    .execute(&mut *acquire(pool).await?)
    .await?;
    Ok(())
}

/// Takes over what nobody carries out any more of this kind of fleet, the oldest first. Of two who take over at once, one
/// gets each: the second one waits for the first one's row and then finds it touched.
///
/// # Errors
/// When Postgres is away.
pub async fn adopt(pool: &PgPool, fleet: &str) -> Result<Vec<Entry>> {
    let mut entries =
        sqlx::query_file_as!(Entry, "src/adopt.sql", fleet, f64::from(SILENCE_SECONDS))
            .fetch_all(&mut *acquire(pool).await?)
            .await?;
    entries.sort_by_key(|entry| entry.id);
    Ok(entries)
}

/// Up to `limit` operations, the newest first: those that began before the one with the id `before`, or all.
///
/// # Errors
/// When Postgres is away.
pub async fn list(pool: &PgPool, before: Option<Uuid>, limit: i64) -> Result<Vec<Entry>> {
    let entries = sqlx::query_as!(
        Entry,
        r#"
        select id, at, caller, action, fleet, request, reason, steps as "steps!: Json<Vec<Step>>", decided_at,
            finished_at, outcome, error
        from audit
        where id < coalesce($1, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
        order by id desc
        limit $2
        "#,
        before,
        limit
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    Ok(entries)
}

/// The operation with this id.
///
/// # Errors
/// When Postgres is away.
pub async fn get(pool: &PgPool, id: Uuid) -> Result<Option<Entry>> {
    let entry = sqlx::query_as!(
        Entry,
        r#"
        select id, at, caller, action, fleet, request, reason, steps as "steps!: Json<Vec<Step>>", decided_at,
            finished_at, outcome, error
        from audit where id = $1
        "#,
        id
    )
    .fetch_optional(&mut *acquire(pool).await?)
    .await?;
    Ok(entry)
}

/// Forgets what began more than `retention_days` ago, or [`KEPT_DAYS`], whichever is longer; returns how many.
///
/// # Errors
/// When Postgres is away.
pub async fn clean(pool: &PgPool, retention_days: i32) -> Result<u64> {
    let deleted = sqlx::query!(
        "delete from audit where at < now() - make_interval(days => $1)",
        retention_days.max(KEPT_DAYS)
    )
    .execute(&mut *acquire(pool).await?)
    .await?;
    Ok(deleted.rows_affected())
}
