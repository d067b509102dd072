//! The claim: due tasks are given to workers, highest priority first, then oldest.

use taskmaster_core::{Lease, TaskLease};
use uuid::Uuid;

use crate::{PgPool, Result, acquire};

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

/// Gives the next due tasks to `plan[0]`, `plan[1]`, …: worker ids, one for each task. Fewer come back when fewer are
/// due, in the order of the plan.
///
/// Priorities are walked one by one, so that a million tasks of a high priority that are not due yet are never read.
///
/// # Errors
/// When Postgres is away.
pub async fn claim(pool: &PgPool, plan: &[i32]) -> Result<Vec<Claimed>> {
    let rows = sqlx::query_file!("src/claim.sql", plan)
        .fetch_all(&mut *acquire(pool).await?)
        .await?;
    let mut claimed: Vec<(i64, Claimed)> = rows
        .into_iter()
        .map(|row| {
            let task = TaskLease {
                id: row.id,
                lease: row.lease,
            };
            let wait_ms = u32::try_from(row.wait_ms).unwrap_or(0);
            (
                row.turn,
                Claimed {
                    task,
                    worker_id: row.worker_id,
                    wait_ms,
                },
            )
        })
        .collect();
    claimed.sort_by_key(|(turn, _)| *turn);
    Ok(claimed.into_iter().map(|(_, claimed)| claimed).collect())
}

/// In how many milliseconds the next task is due (0: one is due now), or `None` when nothing is scheduled.
///
/// # Errors
/// When Postgres is away.
pub async fn next_due_in_ms(pool: &PgPool) -> Result<Option<u64>> {
    let milliseconds = sqlx::query_file_scalar!("src/next_due.sql")
        // A plan without parameters would be kept: see `StoreConfig::pool`.
        .persistent(false)
        .fetch_one(&mut *acquire(pool).await?)
        .await?;
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
