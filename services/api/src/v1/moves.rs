//! `/api/v1/tasks/{id}/cancel` and `…/retry`: what people ask of a task.

use axum::Json;
use axum::extract::State;
use taskmaster_broker::{TaskEvent, WorkerMessage};
use taskmaster_core::{TaskLease, TaskStatus};
use taskmaster_store::cancel::{self, Cancel, Retry};
use taskmaster_store::{Task, bounded};
use uuid::Uuid;

use super::tasks::existing;
use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::Parameters;
use crate::task_id::TaskId;

/// Cancels a task. One that runs is stopped by its worker, and is `cancelled` once it has stopped.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}/cancel", tag = "tasks", operation_id = "cancel_task",
    params(("id" = Uuid, Path, description = "The task.")),
    responses((status = 200, body = Task)),
)]
pub(crate) async fn cancel(
    _caller: Caller,
    State(state): State<ApiState>,
    TaskId(id): TaskId,
    parameters: Parameters,
) -> Result<Json<Task>, ApiError> {
    parameters.finish()?;
    match bounded(cancel::cancel(&state.pool, id)).await? {
        Cancel::NotFound => return Err(ApiError::no_task(id)),
        Cancel::AlreadyFinal(status) => {
            let detail =
                format!("only a task that has not ended can be cancelled; this one is {status}");
            return Err(ApiError::Conflict(detail));
        }
        Cancel::Cancelled => announce(&state, id, TaskStatus::Cancelled),
        Cancel::Requested { task, worker_name } => tell_worker(&state, task, worker_name),
    }
    existing(&state, id).await.map(Json)
}

/// Schedules a failed or cancelled task again, due now, with its history kept.
#[utoipa::path(
    post, path = "/api/v1/tasks/{id}/retry", tag = "tasks", operation_id = "retry_task",
    params(("id" = Uuid, Path, description = "The task.")),
    responses((status = 200, body = Task)),
)]
pub(crate) async fn retry(
    _caller: Caller,
    State(state): State<ApiState>,
    TaskId(id): TaskId,
    parameters: Parameters,
) -> Result<Json<Task>, ApiError> {
    parameters.finish()?;
    match bounded(cancel::retry(&state.pool, id)).await? {
        Retry::NotFound => return Err(ApiError::no_task(id)),
        Retry::Refused(status) => {
            let detail =
                format!("only a failed or cancelled task can be retried; this one is {status}");
            return Err(ApiError::Conflict(detail));
        }
        Retry::Scheduled => announce(&state, id, TaskStatus::Scheduled),
    }
    existing(&state, id).await.map(Json)
}

fn announce(state: &ApiState, id: Uuid, status: TaskStatus) {
    state.events.tasks([TaskEvent {
        id,
        status,
        assigned_worker_name: None,
    }]);
}

/// Nobody waits for it: a worker that is not reached now learns of the request with its next heartbeat.
fn tell_worker(state: &ApiState, task: TaskLease, worker_name: String) {
    let control = state.control.clone();
    tokio::spawn(async move {
        let message = WorkerMessage::Cancel { tasks: vec![task] };
        if let Err(error) = control.send(&worker_name, &message).await {
            tracing::debug!(task.id = %task.id, worker.name = worker_name, %error, "the worker was not told to cancel");
        }
    });
}
