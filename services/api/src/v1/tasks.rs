//! `/api/v1/tasks`: submit, list, get.

use axum::Json;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;
use taskmaster_core::SubmitTask;
use taskmaster_store::{Task, bounded, tasks};
use utoipa::ToSchema;
use uuid::Uuid;

use super::page::{self, TaskFilter, TaskPage};
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::idempotency::{self, Key, KeyHeader};
use crate::problem::Problem;
use crate::query::Parameters;
use crate::task_id::TaskId;
use crate::{ApiState, submission};

/// One task, or 1 to 1,000 of them.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what `submit` takes")]
enum Submission {
    One(Box<SubmitTask>),
    Many(Vec<SubmitTask>),
}

/// The tasks of one submission, in its order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskList {
    /// The tasks.
    tasks: Vec<Task>,
}

/// The task that was submitted, or the tasks, in the same order.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Submitted {
    /// Of an object.
    One(Box<Task>),
    /// Of an array.
    Many(TaskList),
}

/// Submits one task (an object) or up to 1,000 (an array): all of them are stored, or none.
#[utoipa::path(
    post, path = "/api/v1/tasks", tag = "tasks", operation_id = "submit_tasks",
    params(KeyHeader),
    request_body = inline(Submission),
    responses(
        (status = 201, description = "They are stored.", body = inline(Submitted), headers(
            ("Idempotent-Replayed" = bool, description = "`true`: they were stored before, under the same key."),
        )),
        (status = 409, description = "The key came with other content before.", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn submit(
    _caller: Caller,
    State(state): State<ApiState>,
    Key(key): Key,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, HeaderMap, Json<Submitted>), ApiError> {
    let (tasks, is_one) = match body {
        Value::Array(items) => (submission::read_many(items)?, false),
        one => (vec![submission::read(one)?], true),
    };
    let stored = submission::store(&state, tasks, key).await?;
    let mut headers = HeaderMap::new();
    if stored.is_replay {
        idempotency::mark_replayed(&mut headers);
    }
    if !is_one {
        let tasks = stored.tasks;
        let submitted = Submitted::Many(TaskList { tasks });
        return Ok((StatusCode::CREATED, headers, Json(submitted)));
    }
    let task = stored
        .tasks
        .into_iter()
        .next()
        .ok_or_else(|| anyhow::anyhow!("a task that was stored did not come back"))?;
    let address = format!("/api/v1/tasks/{}", task.id);
    headers.extend(HeaderValue::try_from(address).map(|address| (LOCATION, address)));
    let submitted = Submitted::One(Box::new(task));
    Ok((StatusCode::CREATED, headers, Json(submitted)))
}

/// Lists tasks, newest first.
#[utoipa::path(
    get, path = "/api/v1/tasks", tag = "tasks", operation_id = "list_tasks",
    params(TaskFilter),
    responses((status = 200, body = TaskPage)),
)]
pub(crate) async fn list(
    _caller: Caller,
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<TaskPage>, ApiError> {
    page::read(&state.pool, parameters).await.map(Json)
}

/// Shows one task.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}", tag = "tasks", operation_id = "get_task",
    params(("id" = Uuid, Path, description = "The task.")),
    responses((status = 200, body = Task)),
)]
pub(crate) async fn get(
    _caller: Caller,
    State(state): State<ApiState>,
    TaskId(id): TaskId,
    parameters: Parameters,
) -> Result<Json<Task>, ApiError> {
    parameters.finish()?;
    existing(&state, id).await.map(Json)
}

/// The task with this id.
///
/// # Errors
/// [`ApiError::NotFound`], or when Postgres is away.
pub(crate) async fn existing(state: &ApiState, id: Uuid) -> Result<Task, ApiError> {
    let task = bounded(tasks::get(&state.pool, id)).await?;
    task.ok_or_else(|| ApiError::no_task(id))
}
