//! Every attempt leaves a record: those that were superseded here, the latest in the task's own row.

use chrono::{DateTime, Utc};
use serde::Serialize;
use taskmaster_core::{Lease, TaskStatus};
use uuid::Uuid;

use crate::tasks::{self, Task};
use crate::{PgPool, Result, acquire};

/// One start of a task and what came of it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Attempt {
    /// Which start it was, from 1.
    pub attempt: i32,
    /// The id of the worker that ran it.
    pub worker: Option<i32>,
    /// That worker's name.
    pub worker_name: Option<String>,
    /// When it was due.
    pub scheduled_at: DateTime<Utc>,
    /// When a worker was chosen.
    pub picked_at: Option<DateTime<Utc>>,
    /// When its start was committed.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// `running`, `completed`, `failed`, `cancelled`, `timed_out` or `lost`.
    #[cfg_attr(feature = "openapi", schema(schema_with = outcome_schema))]
    pub outcome: String,
    /// The exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The signal, if one ended it.
    pub signal: Option<i32>,
    /// What went wrong.
    pub error_message: Option<String>,
    /// The claim it ran under.
    #[serde(skip)]
    pub lease: Lease,
}

#[cfg(feature = "openapi")]
fn outcome_schema() -> utoipa::openapi::schema::Object {
    crate::openapi::one_of(
        "How it ended, or that it has not yet.",
        &[
            "running",
            "completed",
            "failed",
            "cancelled",
            "timed_out",
            "lost",
        ],
    )
}

/// The attempts of a task, oldest first, the latest last; `None` if there is no such task.
///
/// # Errors
/// When Postgres is away.
pub async fn list(pool: &PgPool, id: Uuid) -> Result<Option<Vec<Attempt>>> {
    // The task first: an attempt that is superseded between the two looks is then seen twice, and not never.
    let Some(task) = tasks::get(pool, id).await? else {
        return Ok(None);
    };
    let mut attempts = sqlx::query_as!(
        Attempt,
        r#"
        select a.attempt as "attempt!", a.worker_id as "worker?", w.name as "worker_name?",
            a.scheduled_at as "scheduled_at!", a.picked_at as "picked_at?", a.started_at as "started_at?",
            a.finished_at as "finished_at?", a.outcome as "outcome!", a.exit_code as "exit_code?",
            a.signal as "signal?", a.error_message as "error_message?", a.lease as "lease!"
        from attempts a left join workers w on w.id = a.worker_id
        where a.task_id = $1 order by a.attempt, a.finished_at
        "#,
        id
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    if let Some(latest) = latest(task)
        && attempts.iter().all(|attempt| attempt.lease != latest.lease)
    {
        attempts.push(latest);
    }
    Ok(Some(attempts))
}

fn latest(task: Task) -> Option<Attempt> {
    let outcome = match (task.status, task.outcome) {
        (TaskStatus::Running, _) => "running",
        (_, Some(outcome)) if task.started_at.is_some() => outcome.as_str(),
        _ => return None,
    };
    Some(Attempt {
        attempt: task.attempt,
        worker: task.assigned_worker,
        worker_name: task.assigned_worker_name,
        scheduled_at: task.scheduled_at,
        picked_at: task.picked_at,
        started_at: task.started_at,
        finished_at: task.finished_at,
        outcome: outcome.to_owned(),
        exit_code: task.exit_code,
        signal: task.signal,
        // While it runs, the task's message is still that of the attempt before.
        error_message: task
            .error_message
            .filter(|_| task.status != TaskStatus::Running),
        lease: task.lease,
    })
}
