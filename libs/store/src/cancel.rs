//! What people ask of a task: to stop it, or to try it again.

use taskmaster_core::{TaskLease, TaskStatus};
use uuid::Uuid;

use crate::{PgPool, Result, acquire};

/// How often a task is looked at that moves between two looks.
const LOOKS: u32 = 100;

/// What a request to cancel came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancel {
    /// It had not started: it is cancelled.
    Cancelled,
    /// It runs: the request is recorded, and its worker is to be told.
    Requested {
        /// The claim it runs under.
        task: TaskLease,
        /// The worker that runs it.
        worker_name: String,
    },
    /// It had ended already.
    AlreadyFinal(TaskStatus),
    /// There is no such task.
    NotFound,
}

/// Cancels a task, or asks its worker to.
///
/// # Errors
/// When Postgres is away. Trying again is harmless.
pub async fn cancel(pool: &PgPool, id: Uuid) -> Result<Cancel> {
    // The task may move between two of these looks; each status leads to a later look or to an answer, and a task
    // that keeps changing between scheduled and running is met by the first look that is quick enough.
    for _ in 0..LOOKS {
        if sqlx::query_file_scalar!("src/cancel.sql", id)
            .fetch_optional(&mut *acquire(pool).await?)
            .await?
            .is_some()
        {
            return Ok(Cancel::Cancelled);
        }
        let requested = sqlx::query!(
            r#"
            update tasks t
            set cancel_requested_at = coalesce(t.cancel_requested_at, now())
            from workers w
            where t.id = $1 and t.status = 'running' and w.id = t.assigned_worker
            returning t.lease as "lease!", w.name as "name!"
            "#,
            id
        )
        .fetch_optional(&mut *acquire(pool).await?)
        .await?;
        if let Some(row) = requested {
            let task = TaskLease {
                id,
                lease: row.lease,
            };
            return Ok(Cancel::Requested {
                task,
                worker_name: row.name,
            });
        }
        match crate::tasks::get(pool, id).await? {
            None => return Ok(Cancel::NotFound),
            Some(task) if task.status.is_final() => return Ok(Cancel::AlreadyFinal(task.status)),
            Some(_) => {}
        }
    }
    Err(sqlx::Error::PoolTimedOut.into())
}

/// What a request to try a finished task again came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It is scheduled again, due now, with one more attempt allowed if none was left.
    Scheduled,
    /// Only failed and cancelled tasks are tried again.
    Refused(TaskStatus),
    /// There is no such task.
    NotFound,
}

/// Schedules a failed or cancelled task again, with its history kept.
///
/// # Errors
/// When Postgres is away. Trying again is harmless.
pub async fn retry(pool: &PgPool, id: Uuid) -> Result<Retry> {
    // It may end between the two looks: then the first one is due again, as in `cancel`.
    for _ in 0..LOOKS {
        if sqlx::query_file_scalar!("src/retry_by_hand.sql", id)
            .fetch_optional(&mut *acquire(pool).await?)
            .await?
            .is_some()
        {
            return Ok(Retry::Scheduled);
        }
        match crate::tasks::get(pool, id).await?.map(|task| task.status) {
            None => return Ok(Retry::NotFound),
            Some(TaskStatus::Failed | TaskStatus::Cancelled) => {}
            Some(status) => return Ok(Retry::Refused(status)),
        }
    }
    Err(sqlx::Error::PoolTimedOut.into())
}
