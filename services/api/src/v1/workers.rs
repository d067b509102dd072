//! `/api/v1/workers`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use taskmaster_store::bounded;
use taskmaster_store::workers::{self, Worker};
use utoipa::ToSchema;

use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::Parameters;

/// Every worker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerList {
    /// Those that are there or were during the last day.
    workers: Vec<Worker>,
}

/// Lists the workers.
#[utoipa::path(
    get, path = "/api/v1/workers", tag = "workers", operation_id = "list_workers",
    responses((status = 200, body = WorkerList)),
)]
pub(crate) async fn list(
    _caller: Caller,
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<WorkerList>, ApiError> {
    parameters.finish()?;
    let workers = bounded(workers::list(&state.pool)).await?;
    Ok(Json(WorkerList { workers }))
}
