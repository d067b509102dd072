//! The start: a worker runs a command only after this was committed.

use serde_json::Value;
use sqlx::types::Json;
use taskmaster_core::{ExecutorKind, Lease, SimulateOptions, TaskLease};
use uuid::Uuid;

use crate::{Connections, Result};

/// Everything that a worker needs to run a task: read by the start itself, so that an assignment carries no more
/// than the task's id and lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    /// The claim it runs under.
    pub task: TaskLease,
    /// Which start this is, from 1.
    pub attempt: i32,
    /// How often it is started at most.
    pub max_attempts: i32,
    /// Run by `/bin/sh -c`, unless there is `argv`.
    pub command: String,
    /// The program and its arguments.
    pub argv: Option<Vec<String>>,
    /// Environment variables to add.
    pub env: Vec<(String, String)>,
    /// What it reads from standard input.
    pub stdin: Option<String>,
    /// The time limit.
    pub timeout_seconds: Option<u32>,
    /// How it is run.
    pub executor: ExecutorKind,
    /// For a simulated task.
    pub simulate: Option<SimulateOptions>,
}

struct Row {
    id: Uuid,
    lease: Lease,
    attempt: i32,
    max_attempts: i32,
    command: String,
    argv: Option<Json<Vec<String>>>,
    env: Option<Value>,
    stdin: Option<String>,
    timeout_seconds: Option<i32>,
    executor: String,
    simulate: Option<Json<SimulateOptions>>,
}

impl From<Row> for Started {
    fn from(row: Row) -> Self {
        let env = match row.env {
            Some(Value::Object(env)) => env
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            task: TaskLease {
                id: row.id,
                lease: row.lease,
            },
            attempt: row.attempt,
            max_attempts: row.max_attempts,
            command: row.command,
            argv: row.argv.map(|Json(argv)| argv),
            env,
            stdin: row.stdin,
            timeout_seconds: row
                .timeout_seconds
                .and_then(|seconds| u32::try_from(seconds).ok()),
            executor: match row.executor.as_str() {
                "simulate" => ExecutorKind::Simulate,
                _ => ExecutorKind::Process,
            },
            simulate: row.simulate.map(|Json(simulate)| simulate),
        }
    }
}

/// The worker that starts tasks, and which start of its process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The worker's id.
    pub worker_id: i32,
    /// The incarnation: a worker process that was superseded by a newer one starts nothing.
    pub incarnation: Uuid,
}

/// Commits the start of `tasks`; those that come back are to be run, the others are not this worker's any more.
///
/// # Errors
/// When Postgres is away. It is then not known whether the start was committed: ask [`running`] before trying again.
pub async fn start(
    connections: &impl Connections,
    holder: Holder,
    mut tasks: Vec<TaskLease>,
) -> Result<Vec<Started>> {
    tasks.sort_by_key(|task| task.id);
    let (ids, leases): (Vec<Uuid>, Vec<Lease>) =
        tasks.iter().map(|task| (task.id, task.lease)).unzip();
    let mut connection = connections.lend().await?;
    let rows = sqlx::query_file_as!(
        Row,
        "src/start.sql",
        &ids,
        &leases,
        holder.worker_id,
        holder.incarnation,
    )
    .fetch_all(&mut *connection)
    .await?;
    connection.done();
    Ok(rows.into_iter().map(Started::from).collect())
}

/// Those of `tasks` whose start is committed: what [`start`] would have returned, had its answer arrived.
///
/// # Errors
/// When Postgres is away.
pub async fn running(
    connections: &impl Connections,
    holder: Holder,
    tasks: &[TaskLease],
) -> Result<Vec<Started>> {
    let (ids, leases): (Vec<Uuid>, Vec<Lease>) =
        tasks.iter().map(|task| (task.id, task.lease)).unzip();
    let mut connection = connections.lend().await?;
    let rows = sqlx::query_as!(
        Row,
        r#"
        select t.id as "id!", t.lease as "lease!", t.attempt as "attempt!", t.max_attempts as "max_attempts!",
            t.command as "command!", t.argv as "argv?: Json<Vec<String>>", t.env as "env?", t.stdin as "stdin?",
            t.timeout_seconds as "timeout_seconds?", t.executor as "executor!",
            t.simulate as "simulate?: Json<SimulateOptions>"
        from unnest($1::uuid[], $2::integer[]) as x(id, lease)
        cross join lateral (
            select * from tasks t
            where t.id = x.id and t.lease = x.lease and t.status = 'running' and t.assigned_worker = $3
            -- Keeps it a look-up of each id, as in start.sql.
            offset 0
        ) t
        where exists (select from workers w where w.id = $3 and w.incarnation = $4)
        "#,
        &ids,
        &leases,
        holder.worker_id,
        holder.incarnation,
    )
    .fetch_all(&mut *connection)
    .await?;
    connection.done();
    Ok(rows.into_iter().map(Started::from).collect())
}
