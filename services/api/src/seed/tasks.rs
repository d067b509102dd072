//! `GET /api/tasks`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use taskmaster_core::TaskStatus;
use taskmaster_store::Task;
use utoipa::ToSchema;
use uuid::Uuid;

use super::time::{maybe_millis, millis};
use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::Parameters;
use crate::v1::page::{self, TaskFilter};

/// A task as `/api/tasks` shows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SeedTask {
    /// Its id.
    id: Uuid,
    /// The command.
    command: String,
    /// Where it is in its life.
    status: TaskStatus,
    /// When it is due.
    #[serde(serialize_with = "millis")]
    scheduled_at: DateTime<Utc>,
    /// The id of its worker.
    assigned_worker: Option<i32>,
    /// The name of its worker.
    assigned_worker_name: Option<String>,
    /// When it was taken in.
    #[serde(serialize_with = "millis")]
    created_at: DateTime<Utc>,
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
    /// When it was cancelled.
    #[serde(serialize_with = "maybe_millis")]
    cancelled_at: Option<DateTime<Utc>>,
    /// What went wrong.
    error_message: Option<String>,
    /// Higher goes first.
    priority: i16,
    /// How often it was started.
    attempt: i32,
    /// How often it is started at most.
    max_attempts: i32,
}

impl From<Task> for SeedTask {
    fn from(task: Task) -> Self {
        Self {
            id: task.id,
            command: task.command,
            status: task.status,
            scheduled_at: task.scheduled_at,
            assigned_worker: task.assigned_worker,
            assigned_worker_name: task.assigned_worker_name,
            created_at: task.created_at,
            picked_at: task.picked_at,
            started_at: task.started_at,
            completed_at: task.completed_at,
            failed_at: task.failed_at,
            cancelled_at: task.cancelled_at,
            error_message: task.error_message,
            priority: task.priority,
            attempt: task.attempt,
            max_attempts: task.max_attempts,
        }
    }
}

/// One page of tasks, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeedTaskPage {
    /// The tasks.
    tasks: Vec<SeedTask>,
    /// What to give as `cursor` for the next page; nothing: this is the last one.
    next_cursor: Option<String>,
}

/// Lists tasks, newest first.
#[utoipa::path(
    get, path = "/api/tasks", tag = "original", operation_id = "tasks",
    params(TaskFilter),
    responses((status = 200, body = SeedTaskPage)),
)]
pub(crate) async fn list(
    _caller: Caller,
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<SeedTaskPage>, ApiError> {
    let page = page::read(&state.pool, parameters).await?;
    Ok(Json(SeedTaskPage {
        tasks: page.tasks.into_iter().map(SeedTask::from).collect(),
        next_cursor: page.next_cursor,
    }))
}
