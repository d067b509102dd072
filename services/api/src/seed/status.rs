//! `GET /api/status?task_id=`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use taskmaster_core::TaskStatus;
use taskmaster_store::{Task, bounded, tasks};
use utoipa::ToSchema;
use uuid::Uuid;

use super::time::{maybe_millis, millis};
use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::{self, Parameters};

/// A task and its times.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// Its id.
    task_id: Uuid,
    /// The command.
    command: String,
    /// Where it is in its life.
    status: TaskStatus,
    /// When it is due.
    #[serde(serialize_with = "millis")]
    scheduled_at: DateTime<Utc>,
    /// When a worker was chosen.
    #[serde(serialize_with = "maybe_millis")]
    picked_at: Option<DateTime<Utc>>,
    /// When it was started.
    #[serde(serialize_with = "maybe_millis")]
    started_at: Option<DateTime<Utc>>,
    /// When it completed.
    #[serde(serialize_with = "maybe_millis")]
    completed_at: Option<DateTime<Utc>>,
    /// When it failed.
    #[serde(serialize_with = "maybe_millis")]
    failed_at: Option<DateTime<Utc>>,
    /// The id of its worker.
    assigned_worker: Option<i32>,
    /// What went wrong.
    error_message: Option<String>,
    /// When it was taken in.
    #[serde(serialize_with = "millis")]
    created_at: DateTime<Utc>,
    /// When it was cancelled.
    #[serde(serialize_with = "maybe_millis")]
    cancelled_at: Option<DateTime<Utc>>,
    /// The name of its worker.
    assigned_worker_name: Option<String>,
    /// Higher goes first.
    priority: i16,
    /// How often it was started.
    attempt: i32,
    /// How often it is started at most.
    max_attempts: i32,
    /// The exit code, if it exited.
    exit_code: Option<i32>,
    /// The signal, if one ended it.
    signal: Option<i32>,
}

impl From<Task> for Status {
    fn from(task: Task) -> Self {
        Self {
            task_id: task.id,
            command: task.command,
            status: task.status,
            scheduled_at: task.scheduled_at,
            picked_at: task.picked_at,
            started_at: task.started_at,
            completed_at: task.completed_at,
            failed_at: task.failed_at,
            assigned_worker: task.assigned_worker,
            error_message: task.error_message,
            created_at: task.created_at,
            cancelled_at: task.cancelled_at,
            assigned_worker_name: task.assigned_worker_name,
            priority: task.priority,
            attempt: task.attempt,
            max_attempts: task.max_attempts,
            exit_code: task.exit_code,
            signal: task.signal,
        }
    }
}

/// Shows one task.
#[utoipa::path(
    get, path = "/api/status", tag = "original", operation_id = "status",
    params(("task_id" = Uuid, Query, description = "The task.")),
    responses((status = 200, body = Status)),
)]
pub(crate) async fn status(
    _caller: Caller,
    State(state): State<ApiState>,
    mut parameters: Parameters,
) -> Result<Json<Status>, ApiError> {
    let id = parameters.take("task_id", query::id);
    parameters.finish()?;
    let id = id.ok_or_else(|| ApiError::field("task_id", "required: the id of a task"))?;
    let task = bounded(tasks::get(&state.pool, id)).await?;
    let task = task.ok_or_else(|| ApiError::no_task(id))?;
    Ok(Json(task.into()))
}
