//! `GET /api/stats`

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use taskmaster_store::{bounded, stats, workers};
use utoipa::ToSchema;

use super::workers::SeedWorker;
use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::Parameters;

/// How many tasks there are in each state, and the workers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    /// All of them.
    total_tasks: i64,
    /// Scheduled or assigned.
    pending_tasks: i64,
    /// Running.
    running_tasks: i64,
    /// Completed.
    completed_tasks: i64,
    /// Failed.
    failed_tasks: i64,
    /// Cancelled.
    cancelled_tasks: i64,
    /// As `/api/workers` shows them.
    workers: Vec<SeedWorker>,
}

/// Counts tasks and lists workers.
#[utoipa::path(
    get, path = "/api/stats", tag = "original", operation_id = "stats",
    responses((status = 200, body = Stats)),
)]
pub(crate) async fn stats(
    _caller: Caller,
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Json<Stats>, ApiError> {
    parameters.finish()?;
    let (counts, workers) = tokio::try_join!(
        bounded(stats::counts(&state.pool)),
        bounded(workers::list(&state.pool))
    )?;
    let pending_tasks = counts.scheduled + counts.assigned;
    let finished_tasks = counts.completed + counts.failed + counts.cancelled;
    Ok(Json(Stats {
        total_tasks: pending_tasks + counts.running + finished_tasks,
        pending_tasks,
        running_tasks: counts.running,
        completed_tasks: counts.completed,
        failed_tasks: counts.failed,
        cancelled_tasks: counts.cancelled,
        workers: workers.into_iter().map(SeedWorker::from).collect(),
    }))
}
