//! The autoscaler: how it is set, what it sees, and what it decided.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use taskmaster_core::autoscale::{ARRIVAL_BUCKETS, Decision, Observation, Settings, steady_rate};

use crate::{PgPool, Result, acquire, audit};

/// The most decisions that are kept, however young they are.
pub const MOST_DECISIONS: i64 = 10_000;

/// How it is set.
///
/// # Errors
/// When Postgres is away.
pub async fn settings(pool: &PgPool) -> Result<Settings> {
    read(&mut *acquire(pool).await?).await
}

async fn read(connection: &mut PgConnection) -> Result<Settings> {
    let row = sqlx::query!(
        r#"
        select enabled, dry_run, pinned, min_workers, max_workers, target_seconds, scale_up_cooldown_seconds,
            scale_down_cooldown_seconds, max_step_up, max_step_down
        from autoscaler
        "#
    )
    .fetch_one(connection)
    .await?;
    Ok(Settings {
        enabled: row.enabled,
        dry_run: row.dry_run,
        pinned: row.pinned,
        min: unsigned(row.min_workers),
        max: unsigned(row.max_workers),
        target_seconds: unsigned(row.target_seconds),
        scale_up_cooldown_seconds: unsigned(row.scale_up_cooldown_seconds),
        scale_down_cooldown_seconds: unsigned(row.scale_down_cooldown_seconds),
        max_step_up: unsigned(row.max_step_up),
        max_step_down: unsigned(row.max_step_down),
    })
}

/// Changes the settings by what `change` makes of them, which may refuse, and writes `new` into the audit with it; two
/// changes at once are made one after the other. Returns what they are then, or the refusal.
///
/// # Errors
/// When Postgres is away.
pub async fn change<E>(
    pool: &PgPool,
    new: &audit::New<'_>,
    change: impl FnOnce(Settings) -> std::result::Result<Settings, E>,
) -> Result<std::result::Result<Settings, E>> {
    let mut connection = acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query!("select from autoscaler for update")
        .execute(&mut *transaction)
        .await?;
    let changed = match change(read(&mut transaction).await?) {
        Ok(changed) => changed,
        Err(refusal) => return Ok(Err(refusal)),
    };
    write(&mut transaction, &changed).await?;
    audit::write_done(&mut transaction, new).await?;
    transaction.commit().await?;
    Ok(Ok(changed))
}

async fn write(connection: &mut PgConnection, settings: &Settings) -> Result<()> {
    sqlx::query!(
        r#"
        update autoscaler
        set enabled = $1, dry_run = $2, pinned = $3, min_workers = $4, max_workers = $5, target_seconds = $6,
            scale_up_cooldown_seconds = $7, scale_down_cooldown_seconds = $8, max_step_up = $9, max_step_down = $10,
            changed_at = now()
        "#,
        settings.enabled,
        settings.dry_run,
        settings.pinned,
        signed(settings.min),
        signed(settings.max),
        signed(settings.target_seconds),
        signed(settings.scale_up_cooldown_seconds),
        signed(settings.scale_down_cooldown_seconds),
        signed(settings.max_step_up),
        signed(settings.max_step_down),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Somebody has changed the fleet by hand: nothing changes by itself until that is released. Returns whether there was
/// anything to pin: an autoscaler that is switched on, changes things, and was not pinned yet.
///
/// # Errors
/// When Postgres is away.
pub async fn pin(pool: &PgPool) -> Result<bool> {
    let pinned = sqlx::query!(
        "update autoscaler set pinned = true, changed_at = now() where enabled and not dry_run and not pinned"
    )
    .execute(&mut *acquire(pool).await?)
    .await?;
    Ok(pinned.rows_affected() > 0)
}

/// Looks at the work and at the workers. `desired` is how many there are to be, which Postgres does not know; what runs for
/// longer than `target_seconds` is told apart, and what becomes due within it counts. Who goes first it does not know either:
/// idle workers, it says.
///
/// # Errors
/// When Postgres is away.
pub async fn observe(pool: &PgPool, desired: u32, target_seconds: u32) -> Result<Observation> {
    let row = sqlx::query_file!("src/observe.sql", f64::from(target_seconds))
        .fetch_one(&mut *acquire(pool).await?)
        .await?;
    let count = |count: i64| u32::try_from(count).unwrap_or(0);
    let mut arrivals = [0; ARRIVAL_BUCKETS];
    for (bucket, count) in arrivals.iter_mut().zip(row.arrivals) {
        *bucket = count.unsigned_abs();
    }
    Ok(Observation {
        at: row.at,
        desired,
        online: count(row.online),
        draining: count(row.draining),
        busy: count(row.busy),
        slots: row.slots,
        due: row.due.unsigned_abs(),
        due_soon: row.due_soon.unsigned_abs(),
        running: row.running.unsigned_abs(),
        held: row.held.unsigned_abs(),
        run_seconds: row.run_seconds,
        running_seconds: row.running_seconds,
        longest_run_seconds: row.longest_run_seconds,
        arrivals_per_second: steady_rate(arrivals),
        idle_first: true,
        last_scale_up_at: row.last_scale_up_at,
        last_scale_down_at: row.last_scale_down_at,
    })
}

/// What became of a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It changed nothing, or was not to be carried out.
    Kept,
    /// The fleet was changed.
    Applied,
    /// The fleet was to be changed, and was not: why.
    Failed(String),
}

/// A decision that was recorded.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = AutoscalerDecision))]
pub struct Recorded {
    /// Its number; later ones have greater ones.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// How many workers there were to be.
    pub from: i32,
    /// How many from then on, had it its way.
    pub to: i32,
    /// The reason's name, such as `grow`.
    pub kind: String,
    /// The reason in words.
    pub reason: String,
    /// What was seen.
    #[cfg_attr(feature = "openapi", schema(value_type = Observation))]
    pub observation: Value,
    /// Whether it was made in a dry run.
    pub dry_run: bool,
    /// Whether the fleet was changed.
    pub applied: bool,
    /// Why the fleet was not changed, if it was to be.
    pub error: Option<String>,
}

/// Records a decision that was carried out; any other only if it is not the last one's again, nor one of the last minute's.
/// Returns whether it did.
///
/// # Errors
/// When Postgres is away.
pub async fn record(
    pool: &PgPool,
    decision: &Decision,
    observation: &Observation,
    dry_run: bool,
    outcome: &Outcome,
) -> Result<bool> {
    let observation = serde_json::to_value(observation).unwrap_or_default();
    let error = match outcome {
        Outcome::Failed(error) => Some(error.as_str()),
        Outcome::Kept | Outcome::Applied => None,
    };
    let recorded = sqlx::query!(
        r#"
        insert into autoscaler_decisions
            (from_workers, to_workers, kind, reason, observation, dry_run, applied, error)
        select $1::integer, $2::integer, $3::text, $4::text, $5::jsonb, $6::boolean, $7::boolean, $8::text
        where $7 or not exists (
            select from (
                select *, row_number() over (order by id desc) as back
                from (select * from autoscaler_decisions order by id desc limit 20) newest
            ) d
            where (d.back = 1 or d.at > now() - interval '1 minute')
              and d.to_workers = $2 and d.kind = $3 and d.dry_run = $6 and d.error is not distinct from $8
        )
        "#,
        signed(decision.from),
        signed(decision.to),
        decision.reason.kind(),
        decision.reason.to_string(),
        observation,
        dry_run,
        *outcome == Outcome::Applied,
        error,
    )
    .execute(&mut *acquire(pool).await?)
    .await?;
    Ok(recorded.rows_affected() > 0)
}

/// What was decided, the latest first: at most `limit`, and only those before the one with the number `before`.
///
/// # Errors
/// When Postgres is away.
pub async fn decisions(pool: &PgPool, before: Option<i64>, limit: i64) -> Result<Vec<Recorded>> {
    let decisions = sqlx::query_as!(
        Recorded,
        r#"
        select id, at, from_workers as "from", to_workers as "to", kind, reason, observation, dry_run, applied, error
        from autoscaler_decisions where $1::bigint is null or id < $1 order by id desc limit $2
        "#,
        before,
        limit
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    Ok(decisions)
}

/// Forgets decisions that are older than `retention_days` days, and all but the last [`MOST_DECISIONS`]; returns how many.
///
/// # Errors
/// When Postgres is away.
pub async fn clean(pool: &PgPool, retention_days: i32) -> Result<u64> {
    let forgotten = sqlx::query!(
        r#"
        delete from autoscaler_decisions
        where at < now() - make_interval(days => $1)
           or id <= (select max(id) from autoscaler_decisions) - $2::bigint
        "#,
        retention_days,
        MOST_DECISIONS
    )
    .execute(&mut *acquire(pool).await?)
    .await?;
    Ok(forgotten.rows_affected())
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}
