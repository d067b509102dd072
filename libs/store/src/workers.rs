//! The workers: who is there, who is alive, how much room each has.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{Connection, PgConnection, PgExecutor};
use taskmaster_core::TaskLease;
use uuid::Uuid;

use crate::start::Holder;
use crate::{Connections, PgPool, Result, acquire};

/// What a worker says of itself when it starts.
#[derive(Debug, Clone)]
pub struct Registration<'a> {
    /// Its name, the same from start to start.
    pub name: &'a str,
    /// This start of its process.
    pub incarnation: Uuid,
    /// How many tasks it runs at once.
    pub slots: i32,
    /// The machine it is on.
    pub host: &'a str,
    /// Its process id there.
    pub pid: i32,
    /// Its version.
    pub version: &'a str,
    /// After how many seconds without a heartbeat it is to be taken for lost.
    pub heartbeat_timeout_seconds: i32,
}

/// Enters a worker, or a new incarnation of it, as online; returns its id. An earlier incarnation can start nothing
/// from here on, and what it was asked to do is not asked of the new one.
///
/// # Errors
/// When Postgres is away.
pub async fn register(pool: &PgPool, worker: &Registration<'_>) -> Result<i32> {
    let id = sqlx::query_scalar!(
        r#"
        insert into workers (name, incarnation, status, slots, claim_window, host, pid, version,
            heartbeat_timeout_seconds)
        values ($1, $2, 'online', $3, $3, $4, $5, $6, $7)
        on conflict (name) do update
        set incarnation = excluded.incarnation, status = 'online', slots = excluded.slots,
            claim_window = excluded.claim_window, host = excluded.host, pid = excluded.pid,
            version = excluded.version, heartbeat_timeout_seconds = excluded.heartbeat_timeout_seconds,
            started_at = now(), last_active_at = now(), drain_requested_at = null
        returning id
        "#,
        worker.name,
        worker.incarnation,
        worker.slots,
        worker.host,
        worker.pid,
        worker.version,
        worker.heartbeat_timeout_seconds,
    )
    .fetch_one(&mut *acquire(pool).await?)
    .await?;
    Ok(id)
}

/// What Postgres knows of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What it holds.
    pub held: Vec<Held>,
    /// Whether someone asked it to drain.
    pub drain_requested: bool,
}

/// What Postgres knows that a worker holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The claim.
    pub task: TaskLease,
    /// Whether its start is committed.
    pub running: bool,
    /// Whether someone asked for it to be stopped.
    pub cancel_requested: bool,
    /// How long to wait before its start, in milliseconds.
    pub wait_ms: u32,
}

/// Says that a worker is alive, and returns what it holds by Postgres's account and what is asked of it, or `None` if a
/// newer incarnation has taken its name. A worker that was taken for lost is online again, without the tasks that it has
/// lost.
///
/// # Errors
/// When Postgres is away.
pub async fn heartbeat(
    connection: &mut PgConnection,
    holder: Holder,
    claim_window: i32,
    draining: bool,
) -> Result<Option<Known>> {
    let drain_requested = sqlx::query_scalar!(
        r#"
        update workers
        set last_active_at = now(), claim_window = greatest(slots, $3::integer),
            status = case when $4 then 'draining' else 'online' end
        where id = $1 and incarnation = $2
        returning drain_requested_at is not null as "drain_requested!"
        "#,
        holder.worker_id,
        holder.incarnation,
        claim_window,
        draining,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(drain_requested) = drain_requested else {
        return Ok(None);
    };
    let rows = sqlx::query!(
        r#"
        select id, lease, status = 'running' as "running!", cancel_requested_at is not null as "cancel!",
            coalesce((simulate ->> 'wait_ms')::bigint, 0) as "wait_ms!"
        from tasks where assigned_worker = $1 and picked_at is not null
        "#,
        holder.worker_id
    )
    .fetch_all(connection)
    .await?;
    let held = rows.into_iter().map(|row| Held {
        task: TaskLease {
            id: row.id,
            lease: row.lease,
        },
        running: row.running,
        cancel_requested: row.cancel,
        wait_ms: u32::try_from(row.wait_ms).unwrap_or(0),
    });
    Ok(Some(Known {
        held: held.collect(),
        drain_requested,
    }))
}

/// Says that a worker has stopped: offline at once, with nothing to wait for. What it may still hold is rescued.
///
/// # Errors
/// When Postgres is away.
pub async fn sign_off(pool: &PgPool, holder: Holder) -> Result<()> {
    sqlx::query!(
        "update workers set status = 'offline', last_active_at = now() where id = $1 and incarnation = $2",
        holder.worker_id,
        holder.incarnation
    )
    .execute(&mut *acquire(pool).await?)
    .await?;
    Ok(())
}

/// A worker that may get tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Available {
    /// Its id.
    pub id: i32,
    /// Its name, for which its queue is named.
    pub name: String,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// How many tasks it may hold at once: its slots, and what it gets through in a moment.
    pub claim_window: u32,
    /// How many runs it has ended, ever: what it held then and has ended since, it holds no more.
    pub ended: i64,
    /// How many it holds, if that was asked for.
    pub held: Option<u32>,
}

/// The workers that are online and were not asked to drain, and, if `count_held`, how many tasks each holds. To count reads
/// all that is held, and, while a snapshot is held open somewhere, all that was since.
///
/// # Errors
/// When Postgres is away.
pub async fn available(connections: &impl Connections, count_held: bool) -> Result<Vec<Available>> {
    let mut connection = connections.lend().await?;
    let rows = sqlx::query!(
        r#"
        select w.id as "id!", w.name as "name!", w.slots as "slots!", w.claim_window as "claim_window!",
            w.tasks_completed + w.tasks_failed as "ended!", coalesce(h.held, 0) as "held!"
        from workers w
        left join (select assigned_worker, count(*) as held from tasks where picked_at is not null and $2
                   group by assigned_worker) h on h.assigned_worker = w.id
        where w.status = $1 and w.drain_requested_at is null
        "#,
        // A parameter, because the plan of a statement that has none would be kept: see `StoreConfig::pool`.
        "online",
        count_held
    )
    .fetch_all(&mut *connection)
    .await?;
    connection.done();
    Ok(rows
        .into_iter()
        .map(|row| Available {
            id: row.id,
            name: row.name,
            slots: u32::try_from(row.slots).unwrap_or(0),
            claim_window: u32::try_from(row.claim_window).unwrap_or(0),
            ended: row.ended,
            held: count_held.then(|| u32::try_from(row.held).unwrap_or(u32::MAX)),
        })
        .collect())
}

/// A worker as it is shown.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Worker {
    /// Its id, which tasks name as `assigned_worker`.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// `idle`, `busy`, `draining` (takes nothing new) or `offline`.
    #[cfg_attr(feature = "openapi", schema(schema_with = status_schema))]
    pub status: String,
    /// How many tasks it runs at once.
    pub slots: i32,
    /// How many it runs now.
    pub running: i64,
    /// How many it holds that have not started.
    pub assigned: i64,
    /// What it runs now, the longest-running first.
    pub current_task_ids: Vec<Uuid>,
    /// How many tasks it has completed.
    pub tasks_completed: i64,
    /// How many tasks ended as failed at it.
    pub tasks_failed: i64,
    /// The machine it is on.
    pub host: String,
    /// Its process id there.
    pub pid: i32,
    /// Its version.
    pub version: String,
    /// When this incarnation started.
    pub started_at: DateTime<Utc>,
    /// Its last heartbeat or finish.
    pub last_active_at: DateTime<Utc>,
}

#[cfg(feature = "openapi")]
fn status_schema() -> utoipa::openapi::schema::Object {
    crate::openapi::one_of(
        "What it does: works, waits, takes nothing new, or is gone.",
        &["idle", "busy", "draining", "offline"],
    )
}

/// Every worker that is there or was during the last day, by id.
///
/// # Errors
/// When Postgres is away.
pub async fn list(pool: &PgPool) -> Result<Vec<Worker>> {
    shown(&mut *acquire(pool).await?, None).await
}

/// The worker of this name, or all that [`list`] has.
async fn shown(executor: impl PgExecutor<'_>, name: Option<&str>) -> Result<Vec<Worker>> {
    let workers = sqlx::query_as!(
        Worker,
        r#"
        select w.id as "id!", w.name as "name!",
            case when w.status <> 'online' then w.status when w.drain_requested_at is not null then 'draining'
                when coalesce(h.running, 0) > 0 then 'busy' else 'idle' end as "status!",
            w.slots as "slots!", coalesce(h.running, 0) as "running!", coalesce(h.assigned, 0) as "assigned!",
            coalesce(h.current_task_ids, '{}') as "current_task_ids!",
            w.tasks_completed as "tasks_completed!", w.tasks_failed as "tasks_failed!", w.host as "host!",
            w.pid as "pid!", w.version as "version!", w.started_at as "started_at!",
            w.last_active_at as "last_active_at!"
        from workers w
        left join (
            select assigned_worker, count(*) filter (where status = 'running') as running,
                count(*) filter (where status = 'assigned') as assigned,
                (array_agg(id order by started_at, id) filter (where status = 'running'))[1:100] as current_task_ids
            from tasks where picked_at is not null group by assigned_worker
        ) h on h.assigned_worker = w.id
        where w.name = $1
            or ($1 is null and (w.status <> 'offline' or w.last_active_at > now() - interval '1 day'))
        order by w.id
        "#,
        name
    )
    .fetch_all(executor)
    .await?;
    Ok(workers)
}

/// A worker, and since when it is gone.
pub(crate) struct WhenActive {
    pub(crate) id: i32,
    /// When it could have been given anything last; nothing: it is there.
    pub(crate) gone_since: Option<DateTime<Utc>>,
}

/// The worker of this name.
pub(crate) async fn when_active(pool: &PgPool, name: &str) -> Result<Option<WhenActive>> {
    let worker = sqlx::query_as!(
        WhenActive,
        r#"
        select id, case when status = 'offline'
            then last_active_at + make_interval(secs => heartbeat_timeout_seconds) end as gone_since
        from workers where name = $1
        "#,
        name
    )
    .fetch_optional(&mut *acquire(pool).await?)
    .await?;
    Ok(worker)
}

/// What became of a request to drain.
#[derive(Debug, Clone)]
pub enum Drain {
    /// It is to drain: the worker as it is shown from now on. Also if it was to before.
    Requested(Worker),
    /// It is offline: there is nobody to ask.
    Offline,
    /// There never was a worker of this name.
    NotFound,
}

/// Asks the present incarnation of a worker to drain: nothing is claimed for it any more, and its next heartbeat brings
/// it the news, however long RabbitMQ or the worker itself is away until then.
///
/// # Errors
/// When Postgres is away.
pub async fn request_drain(pool: &PgPool, name: &str) -> Result<Drain> {
    // One transaction: an idle worker may hear of it and be gone before it has been looked at.
    let mut connection = acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    let asked = sqlx::query!(
        r#"
        update workers set drain_requested_at = coalesce(drain_requested_at, now())
        where name = $1 and status <> 'offline'
        "#,
        name
    )
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    let worker = shown(&mut *transaction, Some(name)).await?.pop();
    transaction.commit().await?;
    Ok(match worker {
        Some(worker) if asked > 0 => Drain::Requested(worker),
        Some(_) => Drain::Offline,
        None => Drain::NotFound,
    })
}
