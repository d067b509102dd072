//! `GET /api/workers`

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use taskmaster_store::bounded;
use taskmaster_store::workers::{self, Worker};
use utoipa::ToSchema;
use uuid::Uuid;

use super::time::millis;
use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::Parameters;

/// A worker as `/api/workers` shows it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SeedWorker {
    /// Its id.
    id: i32,
    /// Its name.
    name: String,
    /// `idle`, `busy`, `draining` or `offline`.
    status: String,
    /// What it runs; of several tasks, the one that has run longest.
    current_task_id: Option<Uuid>,
    /// How many tasks it has completed.
    tasks_completed: i64,
    /// Its last heartbeat or finish.
    #[serde(serialize_with = "millis")]
    last_active_at: DateTime<Utc>,
    /// How many tasks ended as failed at it.
    tasks_failed: i64,
    /// How many tasks it runs at once.
    slots: i32,
    /// How many it runs now.
    running: i64,
    /// How many it holds that have not started.
    assigned: i64,
    /// When it started.
    #[serde(serialize_with = "millis")]
    started_at: DateTime<Utc>,
}

impl From<Worker> for SeedWorker {
    fn from(worker: Worker) -> Self {
        Self {
            id: worker.id,
            name: worker.name,
            status: worker.status,
            current_task_id: worker.current_task_ids.first().copied(),
            tasks_completed: worker.tasks_completed,
            last_active_at: worker.last_active_at,
            tasks_failed: worker.tasks_failed,
            slots: worker.slots,
            running: worker.running,
            assigned: worker.assigned,
            started_at: worker.started_at,
        }
    }
}

/// Every worker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeedWorkerList {
    /// Those that are there or were during the last day.
    workers: Vec<SeedWorker>,
}

/// Lists the workers.
#[utoipa::path(
    get, path = "/api/workers", tag = "original", operation_id = "workers",
    responses((status = 200, body = SeedWorkerList)),
)]
pub(crate) async fn list(
    _caller: Caller,
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<SeedWorkerList>, ApiError> {
    parameters.finish()?;
    let workers = bounded(workers::list(&state.pool)).await?;
    Ok(Json(SeedWorkerList {
        workers: workers.into_iter().map(SeedWorker::from).collect(),
    }))
}
