//! Looking at an installation from outside, for `taskmaster doctor`: the server, the schema, the workers and what waits.
//!
//! Facts only, and nothing is changed: what is wrong with them is for the caller to say.

use std::time::Duration;

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError};
use uuid::Uuid;

use crate::{MIGRATOR, PgPool, Result, acquire};

/// Where sqlx writes down what it has applied.
const MIGRATIONS: &str = "_sqlx_migrations";

/// The server, as this user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its version as text.
    pub version: String,
    /// Its version as a number: 150004 is 15.4.
    pub version_number: i32,
    /// It takes no writes: a replica, or a database that was made read-only.
    pub read_only: bool,
    /// Whether a commit is on disk when it is answered: `off`, `local`, `on`, `remote_write` or `remote_apply`.
    pub synchronous_commit: String,
    /// Whether what is written reaches the disk at all before a crash.
    pub fsync: bool,
    /// How many clients are connected, to any of its databases.
    pub connections: i64,
    /// How many may be, without those that are kept for administrators.
    pub connection_limit: i64,
    /// Whether this user is told what the connections of others do.
    pub sees_others: bool,
}

/// Looks at the server.
///
/// # Errors
/// When Postgres is away.
pub async fn server(pool: &PgPool) -> Result<Server> {
    let server = sqlx::query_as!(
        Server,
        r#"
        select
            current_setting('server_version') as "version!",
            current_setting('server_version_num')::integer as "version_number!",
            current_setting('transaction_read_only') = 'on' as "read_only!",
            current_setting('synchronous_commit') as "synchronous_commit!",
            current_setting('fsync') = 'on' as "fsync!",
            -- Of other users' connections the kind may be hidden, but not that they are there.
            (select count(*) from pg_stat_activity
             where datid is not null and coalesce(backend_type, 'client backend') = 'client backend') as "connections!",
            current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
                - coalesce(current_setting('reserved_connections', true)::bigint, 0) as "connection_limit!",
            pg_has_role('pg_read_all_stats', 'usage') as "sees_others!"
        "#
    )
    .fetch_one(&mut *acquire(pool).await?)
    .await?;
    Ok(server)
}

/// A transaction that is open for long: until it ends, vacuum keeps what it might still read, and partitions wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Its connection's process in Postgres.
    pub pid: i32,
    /// What its program calls itself; empty if it says nothing.
    pub application: String,
    /// For how many seconds it has been open.
    pub seconds: i64,
}

/// The transactions in this database that began more than `age` ago, the oldest first.
///
/// # Errors
/// When Postgres is away.
pub async fn open_transactions(pool: &PgPool, age: Duration) -> Result<Vec<OpenTransaction>> {
    let open = sqlx::query_as!(
        OpenTransaction,
        r#"
        select pid as "pid!", coalesce(application_name, '') as "application!",
            extract(epoch from now() - xact_start)::bigint as "seconds!"
        from pg_stat_activity
        where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
          and xact_start < now() - make_interval(secs => $1)
        order by xact_start
        "#,
        age.as_secs_f64()
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    Ok(open)
}

/// How the schema differs from the one that this program brings. Migrations are told by their numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    /// Not applied yet.
    pub pending: Vec<i64>,
    /// Applied, and not known to this program: it is older than the schema.
    pub unknown: Vec<i64>,
    /// Applied with other content than this program's.
    pub changed: Vec<i64>,
    /// Begun and not brought to its end.
    pub unfinished: Option<i64>,
}

/// Compares the schema with this program's migrations.
///
/// # Errors
/// When Postgres is away.
pub async fn schema(pool: &PgPool) -> Result<Schema> {
    let mut connection = acquire(pool).await?;
    let applied = match connection.list_applied_migrations(MIGRATIONS).await {
        Err(error) if is_undefined_table(&error) => return Ok(compare(&[], None)),
        applied => applied?,
    };
    let unfinished = connection.dirty_version(MIGRATIONS).await?;
    Ok(compare(&applied, unfinished))
}

fn compare(applied: &[AppliedMigration], unfinished: Option<i64>) -> Schema {
    let mut schema = Schema {
        unfinished,
        ..Schema::default()
    };
    for migration in MIGRATOR.iter() {
        match applied.iter().find(|it| it.version == migration.version) {
            None => schema.pending.push(migration.version),
            Some(it) if it.checksum != migration.checksum => schema.changed.push(it.version),
            Some(_) => {}
        }
    }
    let known = |version| MIGRATOR.version_exists(version);
    let versions = applied.iter().map(|it| it.version);
    schema.unknown = versions.filter(|version| !known(*version)).collect();
    schema
}

fn is_undefined_table(error: &MigrateError) -> bool {
    let MigrateError::Execute(sqlx::Error::Database(database)) = error else {
        return false;
    };
    database.code().is_some_and(|code| code == "42P01")
}

/// A worker that is there, or is not and still holds tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its name, for which its queue is named.
    pub name: String,
    /// `online`, `draining` or `offline`, by the last word of it or about it.
    pub status: String,
    /// How many tasks it runs at once.
    pub slots: i64,
    /// How many it may hold.
    pub window: i64,
    /// How many it holds.
    pub held: i64,
    /// How many of these run.
    pub running: i64,
    /// How many of these were given to it longer ago than was asked for and have not started.
    pub unstarted: i64,
    /// For how many seconds it has said nothing.
    pub silent_seconds: i64,
    /// After how many it counts as lost.
    pub heartbeat_timeout_seconds: i64,
}

/// The workers, by name. An assignment is told as not started when it is older than `age`.
///
/// # Errors
/// When Postgres is away.
pub async fn workers(pool: &PgPool, age: Duration) -> Result<Vec<Worker>> {
    let workers = sqlx::query_as!(
        Worker,
        r#"
        select w.name as "name!", w.status as "status!", w.slots::bigint as "slots!",
            w.claim_window::bigint as "window!", coalesce(h.held, 0) as "held!", coalesce(h.running, 0) as "running!",
            coalesce(h.unstarted, 0) as "unstarted!",
            floor(extract(epoch from now() - w.last_active_at))::bigint as "silent_seconds!",
            w.heartbeat_timeout_seconds::bigint as "heartbeat_timeout_seconds!"
        from workers w
        left join (
            select assigned_worker, count(*) as held, count(*) filter (where status = 'running') as running,
                -- What is simulated is told to wait before its start.
                count(*) filter (where status = 'assigned' and picked_at < now()
                    - make_interval(secs => $1 + coalesce((simulate ->> 'wait_ms')::float8, 0) / 1000)) as unstarted
            from tasks where picked_at is not null group by assigned_worker
        ) h on h.assigned_worker = w.id
        where w.status <> 'offline' or h.held > 0
        order by w.name
        "#,
        age.as_secs_f64()
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    Ok(workers)
}

/// What waits, and what should have ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many tasks are due and with nobody.
    pub due: i64,
    /// How many of these are due for longer than was asked for.
    pub overdue: i64,
    /// For how many seconds the first of these has been due.
    pub longest_seconds: i64,
    /// The one that is to be claimed next.
    pub next: Option<Uuid>,
    /// How many tasks run although their time limit passed longer ago than was asked for.
    pub past_time_limit: i64,
}

/// Counts what has been due, or past its time limit, for more than `age`.
///
/// # Errors
/// When Postgres is away, or has no schema yet.
pub async fn backlog(pool: &PgPool, age: Duration) -> Result<Backlog> {
    let backlog = sqlx::query_as!(
        Backlog,
        r#"
        select w.due as "due!", w.overdue as "overdue!", w.longest_seconds as "longest_seconds!",
            (select id from tasks where picked_at is null and scheduled_at <= now()
             order by priority desc, scheduled_at, id limit 1) as next,
            (select count(*) from tasks
             where picked_at is not null and status = 'running'
               and started_at < now() - make_interval(secs => timeout_seconds + $1::float8)) as "past_time_limit!"
        from (
            select count(*) as due,
                count(*) filter (where scheduled_at < now() - make_interval(secs => $1::float8)) as overdue,
                coalesce(floor(extract(epoch from now() - min(scheduled_at))), 0)::bigint as longest_seconds
            from tasks where picked_at is null and scheduled_at <= now()
        ) w
        "#,
        age.as_secs_f64()
    )
    .fetch_one(&mut *acquire(pool).await?)
    .await?;
    Ok(backlog)
}
