//! The claim: due tasks are given to workers, highest priority first, then oldest.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use taskmaster_core::{Lease, TaskLease};
use uuid::Uuid;

use crate::{Connections, PgPool, Result, acquire};

/// A task that was given to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimed {
    /// The claim that the worker will have to name.
    pub task: TaskLease,
    /// The worker it was given to.
    pub worker_id: i32,
    /// How long the worker has to wait before the start, in milliseconds: a simulated task's.
    pub wait_ms: u32,
}

/// How far one dispatcher's claims have come in each priority. While a snapshot is held open somewhere, the entries of what
/// was claimed stay in the index, and a claim that began at the oldest would walk all of them.
///
/// What lies behind a mark is not seen: a task that was given back, or taken in with an earlier time. So whoever uses marks
/// forgets them every so often.
#[derive(Debug, Clone, Default)]
pub struct Marks(BTreeMap<i16, (DateTime<Utc>, Uuid)>);

/// Marks as a statement takes them.
#[derive(Default)]
struct Columns {
    priority: Vec<i16>,
    scheduled_at: Vec<DateTime<Utc>>,
    id: Vec<Uuid>,
    /// Between two known priorities, and beyond the first and the last: bounds that are not in it.
    above: Vec<i16>,
    below: Vec<i16>,
}

impl Marks {
    /// Nothing is behind a mark any more.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    fn columns(&self) -> Columns {
        let mut columns = Columns::default();
        let mut above = i16::MAX;
        for (&priority, &(scheduled_at, id)) in self.0.iter().rev() {
            columns.priority.push(priority);
            columns.scheduled_at.push(scheduled_at);
            columns.id.push(id);
            columns.above.push(above);
            columns.below.push(priority);
            above = priority;
        }
        columns.above.push(above);
        columns.below.push(i16::MIN);
        columns
    }
}

/// Gives the next due tasks to `plan[0]`, `plan[1]`, …: worker ids, one for each task. Fewer come back when fewer are
/// due, in the order of the plan.
///
/// Priorities are walked one by one, so that a million tasks of a high priority that are not due yet are never read.
///
/// # Errors
/// When Postgres is away.
pub async fn claim(pool: &PgPool, plan: &[i32]) -> Result<Vec<Claimed>> {
    claim_on(pool, plan, &mut Marks::default()).await
}

/// The same from `marks` on, which move along.
///
/// # Errors
/// When Postgres is away.
pub async fn claim_on(
    connections: &impl Connections,
    plan: &[i32],
    marks: &mut Marks,
) -> Result<Vec<Claimed>> {
    let columns = marks.columns();
    let mut connection = connections.lend().await?;
    let mut rows = sqlx::query_file!(
        "src/claim.sql",
        plan,
        &columns.priority,
        &columns.scheduled_at,
        &columns.id,
        &columns.above,
        &columns.below,
    )
    .fetch_all(&mut *connection)
    .await?;
    connection.done();
    rows.sort_unstable_by_key(|row| row.turn);
    // In the order in which they were walked: the last one of each priority is the furthest.
    let walked = rows
        .iter()
        .map(|row| (row.priority, (row.scheduled_at, row.id)));
    marks.0.extend(walked);
    let claimed = rows.into_iter().map(|row| Claimed {
        task: TaskLease {
            id: row.id,
            lease: row.lease,
        },
        worker_id: row.worker_id,
        wait_ms: u32::try_from(row.wait_ms).unwrap_or(0),
    });
    Ok(claimed.collect())
}

/// In how many milliseconds the next task beyond `marks` is due (0: one is due now), or `None` when none is scheduled.
///
/// # Errors
/// When Postgres is away.
pub async fn next_due_in_ms(connections: &impl Connections, marks: &Marks) -> Result<Option<u64>> {
    let columns = marks.columns();
    let mut connection = connections.lend().await?;
    let milliseconds = sqlx::query_file_scalar!(
        "src/next_due.sql",
        &columns.priority,
        &columns.scheduled_at,
        &columns.id,
        &columns.above,
        &columns.below,
    )
    .fetch_one(&mut *connection)
    .await?;
    connection.done();
    Ok(milliseconds.map(|ms| if ms <= 0.0 { 0 } else { ms.ceil() as u64 }))
}

/// Takes claims back that were never started: the task is scheduled as it was, no attempt spent. Claims that are
/// not there any more are passed over. Returns the tasks that were released.
///
/// # Errors
/// When Postgres is away.
pub async fn release(pool: &PgPool, mut tasks: Vec<TaskLease>) -> Result<Vec<Uuid>> {
    tasks.sort_by_key(|task| task.id);
    let (ids, leases): (Vec<Uuid>, Vec<Lease>) =
        tasks.iter().map(|task| (task.id, task.lease)).unzip();
    let released = sqlx::query_file_scalar!("src/release.sql", &ids, &leases)
        .fetch_all(&mut *acquire(pool).await?)
        .await?;
    Ok(released)
}
