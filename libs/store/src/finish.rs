//! The end of a run: the task reaches its end, or is scheduled again; either way the attempt leaves a record.

use taskmaster_core::{Lease, Outcome, TaskLease, TaskStatus, Verdict};
use uuid::Uuid;

use crate::{Connections, PgPool, Result, acquire};

/// How a run ended and what becomes of its task.
#[derive(Debug, Clone, PartialEq)]
pub struct Finish {
    /// The claim it ran under.
    pub task: TaskLease,
    /// How it ended.
    pub outcome: Outcome,
    /// What [`taskmaster_core::verdict`] made of that.
    pub verdict: Verdict,
    /// The exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// What went wrong, for people.
    pub error_message: Option<String>,
}

/// What was written for one [`Finish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// The task.
    pub id: Uuid,
    /// Its status now.
    pub status: TaskStatus,
}

#[derive(Default)]
struct Columns<'a> {
    id: Vec<Uuid>,
    lease: Vec<Lease>,
    outcome: Vec<&'static str>,
    status: Vec<&'static str>,
    delay_seconds: Vec<f64>,
    exit_code: Vec<Option<i32>>,
    signal: Vec<Option<i32>>,
    error_message: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, finish: &'a Finish, outcome: Outcome, verdict: Verdict) {
        self.id.push(finish.task.id);
        self.lease.push(finish.task.lease);
        self.outcome.push(outcome.as_str());
        let (status, delay) = match verdict {
            Verdict::Final(status) => (status, 0.0),
            Verdict::RetryAfter(delay) => (TaskStatus::Scheduled, delay.as_secs_f64()),
        };
        self.status.push(status.as_str());
        self.delay_seconds.push(delay);
        self.exit_code.push(finish.exit_code);
        self.signal.push(finish.signal);
        self.error_message.push(finish.error_message.as_deref());
    }
}

/// Writes how runs ended. `by` is the worker that reports (0: the coordinator, for a worker that was lost). What is
/// not in the answer was stale: its lease was taken back before, and nothing was written.
///
/// A task whose cancel was requested is not scheduled again: it ends as cancelled. So does one whose run was lost or
/// stopped at its time limit.
///
/// # Errors
/// When Postgres is away. Trying again is harmless: what was committed the first time is then stale.
pub async fn finish(
    connections: &impl Connections,
    by: i32,
    mut finishes: Vec<Finish>,
) -> Result<Vec<Ended>> {
    finishes.sort_by_key(|finish| (finish.task.id, finish.task.lease));
    finishes.dedup_by_key(|finish| finish.task);
    let mut retries = Columns::default();
    for finish in &finishes {
        if let Verdict::RetryAfter(_) = finish.verdict {
            retries.push(finish, finish.outcome, finish.verdict);
        }
    }
    let mut written = if retries.id.is_empty() {
        Vec::new()
    } else {
        retry_later(connections, &retries).await?
    };
    // In the order of the ids, like every batch.
    let mut ends = Columns::default();
    for finish in &finishes {
        match finish.verdict {
            Verdict::Final(_) => ends.push(finish, finish.outcome, finish.verdict),
            Verdict::RetryAfter(_) if written.iter().any(|ended| ended.id == finish.task.id) => {}
            // A retry that was refused is either stale, and then so is this, or was asked to be cancelled.
            Verdict::RetryAfter(_) => {
                let cancelled = Verdict::Final(TaskStatus::Cancelled);
                ends.push(finish, Outcome::Cancelled, cancelled);
            }
        }
    }
    if !ends.id.is_empty() {
        written.extend(end(connections, by, &ends).await?);
    }
    Ok(written)
}

async fn end(connections: &impl Connections, by: i32, columns: &Columns<'_>) -> Result<Vec<Ended>> {
    let mut connection = connections.lend().await?;
    let rows = sqlx::query_file!(
        "src/finish.sql",
        &columns.id,
        &columns.lease,
        &columns.outcome as _,
        &columns.status as _,
        &columns.exit_code as _,
        &columns.signal as _,
        &columns.error_message as _,
        by,
    )
    .fetch_all(&mut *connection)
    .await?;
    connection.done();
    rows.into_iter()
        .map(|row| {
            Ok(Ended {
                id: row.id,
                status: crate::tasks::status(&row.status)?,
            })
        })
        .collect()
}

async fn retry_later(connections: &impl Connections, columns: &Columns<'_>) -> Result<Vec<Ended>> {
    let mut connection = connections.lend().await?;
    let ids = sqlx::query_file_scalar!(
        "src/retry_later.sql",
        &columns.id,
        &columns.lease,
        &columns.outcome as _,
        &columns.delay_seconds,
        &columns.exit_code as _,
        &columns.signal as _,
        &columns.error_message as _,
    )
    .fetch_all(&mut *connection)
    .await?;
    connection.done();
    Ok(ids
        .into_iter()
        .map(|id| Ended {
            id,
            status: TaskStatus::Scheduled,
        })
        .collect())
}

/// Hands back tasks that run, without spending their attempt: a worker that stops and has ended them itself.
/// Returns the tasks that were handed back: none whose cancel was requested, and none that was submitted to start only
/// once.
///
/// # Errors
/// When Postgres is away.
pub async fn hand_back(pool: &PgPool, mut tasks: Vec<TaskLease>) -> Result<Vec<Uuid>> {
    tasks.sort_by_key(|task| task.id);
    let (ids, leases): (Vec<Uuid>, Vec<Lease>) =
        tasks.iter().map(|task| (task.id, task.lease)).unzip();
    let released = sqlx::query_file_scalar!("src/hand_back.sql", &ids, &leases)
        .fetch_all(&mut *acquire(pool).await?)
        .await?;
    Ok(released)
}
