//! `/api/v1/tasks/{id}/output`: what a command has printed so far.

use axum::extract::State;

use super::run_output::{RunOutput, find_attempt, read_attempt};
use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::Parameters;
use crate::task_id::TaskId;

/// Shows what the latest attempt has printed so far, or another one: standard output and standard error, in the order
/// in which they came.
#[utoipa::path(
    get, path = "/api/v1/tasks/{id}/output", tag = "tasks", operation_id = "output",
    params(
        ("id" = Uuid, Path, description = "The task."),
        ("attempt" = Option<i32>, Query, description = "Which attempt; the latest unless told."),
    ),
    responses((status = 200, body = String, content_type = "text/plain")),
)]
pub(crate) async fn text(
    _caller: Caller,
    State(state): State<ApiState>,
    TaskId(id): TaskId,
    parameters: Parameters,
) -> Result<String, ApiError> {
    let number = read_attempt(parameters)?;
    let mut text = String::new();
    let Some(attempt) = find_attempt(&state.pool, id, number).await? else {
        return Ok(text);
    };
    let mut output = RunOutput::of(id, &attempt);
    while let Some(pieces) = output.next(&state.pool).await? {
        text.extend(pieces.into_iter().map(|piece| piece.text));
    }
    text.extend(output.end().into_iter().map(|piece| piece.text));
    Ok(text)
}
