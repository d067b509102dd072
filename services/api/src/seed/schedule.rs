//! `POST /api/schedule`

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Serialize;
use taskmaster_core::{SubmitTask, TaskStatus};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::{ApiState, submission};

/// A task that was taken in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Scheduled {
    /// Its id.
    task_id: Uuid,
    /// `scheduled`.
    status: TaskStatus,
    /// When it is due.
    #[serde(serialize_with = "super::time::millis")]
    scheduled_at: DateTime<Utc>,
}

/// Schedules a task.
#[utoipa::path(
    post, path = "/api/schedule", tag = "original", operation_id = "schedule",
    request_body = SubmitTask,
    responses((status = 201, description = "It is stored.", body = Scheduled)),
)]
pub(crate) async fn schedule(
    _caller: Caller,
    State(state): State<ApiState>,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, Json<Scheduled>), ApiError> {
    let task = submission::read(body)?;
    let stored = submission::store(&state, vec![task]).await?;
    let task = stored
        .into_iter()
        .next()
        .ok_or_else(|| anyhow::anyhow!("a task that was stored did not come back"))?;
    let scheduled = Scheduled {
        task_id: task.id,
        status: task.status,
        scheduled_at: task.scheduled_at,
    };
    Ok((StatusCode::CREATED, Json(scheduled)))
}
