//! `/api/v1/tasks/{id}/attempts`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use taskmaster_store::attempts::{self, Attempt};
use taskmaster_store::bounded;
use utoipa::ToSchema;

use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::Parameters;
use crate::task_id::TaskId;

/// The attempts of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptList {
    /// Oldest first, the latest last.
    attempts: Vec<Attempt>,
}

/// Lists the attempts of a task.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/attempts", tag = "tasks", operation_id = "list_attempts",
    params(("id" = Uuid, Path, description = "The task.")),
    responses((status = 200, body = AttemptList)),
)]
pub(crate) async fn list(
    _caller: Caller,
    State(state): State<ApiState>,
    TaskId(id): TaskId,
    parameters: Parameters,
) -> Result<Json<AttemptList>, ApiError> {
    parameters.finish()?;
    let attempts = bounded(attempts::list(&state.pool, id)).await?;
    let attempts = attempts.ok_or_else(|| ApiError::no_task(id))?;
    Ok(Json(AttemptList { attempts }))
}
