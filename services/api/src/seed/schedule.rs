//! `POST /api/schedule`

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use serde::Serialize;
use taskmaster_core::{SubmitTask, TaskStatus};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::idempotency::{self, Key, KeyHeader};
use crate::problem::Problem;
use crate::{ApiState, submission};

/// A task that was taken in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Scheduled {
    /// Its id.
    task_id: Uuid,
    /// `scheduled`, unless it was submitted before, under the same key.
    status: TaskStatus,
    /// When it is due.
    #[serde(serialize_with = "super::time::millis")]
    scheduled_at: DateTime<Utc>,
}

/// Schedules a task.
#[utoipa::path(
    post, path = "/api/schedule", tag = "original", operation_id = "schedule",
    params(KeyHeader),
    request_body = SubmitTask,
    responses(
        (status = 201, description = "It is stored.", body = Scheduled, headers(
            ("Idempotent-Replayed" = bool, description = "`true`: it was stored before, under the same key."),
        )),
        (status = 409, description = "The key came with other content before.", body = Problem,
            content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn schedule(
    _caller: Caller,
    State(state): State<ApiState>,
    Key(key): Key,
    JsonBody(body): JsonBody,
) -> Result<(StatusCode, HeaderMap, Json<Scheduled>), ApiError> {
    let task = submission::read(body)?;
    let stored = submission::store(&state, vec![task], key).await?;
    let mut headers = HeaderMap::new();
    if stored.is_replay {
        idempotency::mark_replayed(&mut headers);
    }
    let task = stored
        .tasks
        .into_iter()
        .next()
        .ok_or_else(|| anyhow::anyhow!("a task that was stored did not come back"))?;
    let scheduled = Scheduled {
        task_id: task.id,
        status: task.status,
        scheduled_at: task.scheduled_at,
    };
    Ok((StatusCode::CREATED, headers, Json(scheduled)))
}
