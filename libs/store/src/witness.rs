//! What somebody needs who checks from outside what the system promises: everything that was written down, and the
//! harm that only Postgres can do to its clients. Used by `taskmaster chaos`, never by a service.

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection};
use taskmaster_core::{Lease, TaskLease};
use uuid::Uuid;

use crate::{PgPool, Result, StoreConfig, acquire};

/// A recorded end of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// The task.
    pub id: Uuid,
    /// What it ran.
    pub command: String,
    /// `completed`, `failed` or `cancelled`.
    pub status: String,
    /// How its last run ended.
    pub outcome: String,
    /// The claim it ended under.
    pub lease: Lease,
    /// How often it was started.
    pub attempt: i32,
    /// How often it could be.
    pub max_attempts: i32,
    /// When its last run started, if it had one.
    pub started_at: Option<DateTime<Utc>>,
}

/// Every recorded end.
///
/// # Errors
/// When Postgres is away.
pub async fn ends(pool: &PgPool) -> Result<Vec<End>> {
    let ends = sqlx::query_as!(
        End,
        "select id, command, status, outcome, lease, attempt, max_attempts, started_at
         from finished_tasks order by id, finished_at"
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    Ok(ends)
}

/// A task that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The task.
    pub id: Uuid,
    /// What it is to run.
    pub command: String,
    /// `scheduled`, `assigned` or `running`.
    pub status: String,
}

/// Every task that has not ended.
///
/// # Errors
/// When Postgres is away.
pub async fn live(pool: &PgPool) -> Result<Vec<Live>> {
    let live = sqlx::query_as!(Live, "select id, command, status from tasks order by id")
        .fetch_all(&mut *acquire(pool).await?)
        .await?;
    Ok(live)
}

/// A recorded run that a retry or a rescue superseded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superseded {
    /// The claim it ran under.
    pub task: TaskLease,
    /// Which start it was.
    pub attempt: i32,
}

/// Every recorded run that was not its task's last.
///
/// # Errors
/// When Postgres is away.
pub async fn superseded(pool: &PgPool) -> Result<Vec<Superseded>> {
    let rows = sqlx::query!("select task_id, lease, attempt from attempts order by task_id, lease")
        .fetch_all(&mut *acquire(pool).await?)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| Superseded {
            task: TaskLease {
                id: row.task_id,
                lease: row.lease,
            },
            attempt: row.attempt,
        })
        .collect())
}

/// What a worker holds by Postgres's account.
///
/// # Errors
/// When Postgres is away.
pub async fn held_by(pool: &PgPool, worker: &str) -> Result<Vec<TaskLease>> {
    let rows = sqlx::query!(
        "select t.id, t.lease from tasks t join workers w on w.id = t.assigned_worker
         where w.name = $1 and t.picked_at is not null order by t.id",
        worker
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| TaskLease {
            id: row.id,
            lease: row.lease,
        })
        .collect())
}

/// How many of these claims still stand.
///
/// # Errors
/// When Postgres is away.
pub async fn standing(pool: &PgPool, claims: &[TaskLease]) -> Result<i64> {
    let (ids, leases): (Vec<Uuid>, Vec<Lease>) =
        claims.iter().map(|claim| (claim.id, claim.lease)).unzip();
    let standing = sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from unnest($1::uuid[], $2::integer[]) as x(id, lease)
        where exists (select from tasks t where t.id = x.id and t.lease = x.lease and t.picked_at is not null)
        "#,
        &ids,
        &leases
    )
    .fetch_one(&mut *acquire(pool).await?)
    .await?;
    Ok(standing)
}

/// Of how many tasks the counts that are shown differ from what is there, by status.
///
/// # Errors
/// When Postgres is away.
pub async fn wrong_counts(pool: &PgPool) -> Result<i64> {
    let wrong = sqlx::query_scalar!(
        r#"
        select coalesce(sum(abs(coalesce(c.count, 0) - coalesce(f.count, 0))), 0)::bigint as "wrong!"
        from (select status, sum(count) as count from finished_counts group by status) c
        full join (select status, count(*) as count from finished_tasks group by status) f using (status)
        "#
    )
    .fetch_one(&mut *acquire(pool).await?)
    .await?;
    Ok(wrong)
}

/// Ends every other connection to this database, as an administrator may at any time. Returns how many there were.
///
/// # Errors
/// When Postgres is away, or the user may not.
pub async fn terminate_backends(pool: &PgPool) -> Result<i64> {
    let ended = sqlx::query_scalar!(
        r#"
        select count(pg_terminate_backend(pid)) as "count!" from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
        "#
    )
    .fetch_one(&mut *acquire(pool).await?)
    .await?;
    Ok(ended)
}

/// Connections that do nothing but be there.
#[derive(Debug, Default)]
pub struct IdleConnections(Vec<PgConnection>);

impl IdleConnections {
    /// Opens up to `limit`, as many as Postgres lets in.
    pub async fn open(config: &StoreConfig, limit: usize) -> Self {
        // Side by side: each takes a while, and those that are refused stay out.
        let opening = (0..limit).map(|_| config.connect());
        let opened = futures_util::future::join_all(opening).await;
        Self(opened.into_iter().flatten().collect())
    }

    /// Closes them.
    pub async fn close(self) {
        for connection in self.0 {
            // One that Postgres has ended is closed already.
            connection.close().await.ok();
        }
    }
}

/// Moves every partition of the output to a folder of its own, that can be filled. `folder` is on Postgres's machine,
/// empty, and its user's.
///
/// # Errors
/// When Postgres cannot use the folder.
pub async fn keep_output_in(pool: &PgPool, folder: &str) -> Result<()> {
    let quoted = folder.replace('\'', "''");
    // A utility statement: no parameters, and no transaction around it.
    let statement = format!("create tablespace taskmaster_chaos_output location '{quoted}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut *acquire(pool).await?)
        .await?;
    let partitions = sqlx::query_scalar!(
        r#"
        select c.relname::text as "name!" from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'output'::regclass
        "#
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    for partition in partitions {
        let statement =
            format!("alter table \"{partition}\" set tablespace taskmaster_chaos_output");
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut *acquire(pool).await?)
            .await?;
    }
    Ok(())
}
