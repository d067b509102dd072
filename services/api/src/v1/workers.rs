//! `/api/v1/workers`, and what people ask of a worker.

use anyhow::anyhow;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use taskmaster_store::audit::Entry;
use taskmaster_store::bounded;
use taskmaster_store::workers::{self, Worker};
use utoipa::ToSchema;

use super::operation;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::operations::{Change, Decided, Order};
use crate::query::Parameters;
use crate::worker_name::NamedWorker;
use crate::{ApiState, operations};

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

/// Drains a worker: it takes nothing new, gives back at once what it has not started, finishes what it runs within its
/// drain grace, and ends.
///
/// The name is the worker's own or that of its container. A worker of this TaskMaster's own fleet stays away, and the fleet is
/// smaller by it. Whatever else started it, such as systemd or Kubernetes, may start it again. Asked again while it drains,
/// the answer is the same; 404 if there never was a worker of this name, 409 if it is offline. `Location` is the operation's.
#[utoipa::path(
    post, path = "/api/v1/workers/{name}/drain", tag = "workers", operation_id = "drain_worker",
    params(("name" = String, Path, description = "The worker's name.")),
    responses((status = 202, description = "The worker, draining.", body = Worker)),
)]
pub(crate) async fn drain(
    caller: Caller,
    State(state): State<ApiState>,
    NamedWorker(name): NamedWorker,
    parameters: Parameters,
) -> Result<(StatusCode, HeaderMap, Json<Worker>), ApiError> {
    parameters.finish()?;
    let order = Order::by_hand(caller, Change::Drain(name));
    let mut begun = operations::begin(&state, order).await?;
    let Decided::Drained(worker) = begun.decided().await? else {
        return Err(anyhow!("a drain was decided as something else").into());
    };
    Ok((
        StatusCode::ACCEPTED,
        operation::location(begun.id),
        Json(*worker),
    ))
}

/// Stops a worker of this TaskMaster's own fleet, which is smaller by it from then on. What it does not finish soon is handed
/// back to run elsewhere, where that is allowed.
///
/// The name is the worker's own or that of its container; 404 if it is no worker of this fleet. Answers as
/// `POST /api/v1/fleet/scale` does: with the operation, or with its steps.
#[utoipa::path(
    post, path = "/api/v1/workers/{name}/kill", tag = "workers", operation_id = "kill_worker",
    params(("name" = String, Path, description = "The worker's name, or its container's.")),
    responses(
        (status = 200, description = "The steps, as they are done.", body = String, content_type = "text/event-stream"),
        (status = 202, description = "The operation, under way.", body = Entry),
    ),
)]
pub(crate) async fn kill(
    caller: Caller,
    State(state): State<ApiState>,
    NamedWorker(name): NamedWorker,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    parameters.finish()?;
    let order = Order::by_hand(caller, Change::Kill(name));
    let begun = operations::begin(&state, order).await?;
    operation::answer(&state, &headers, begun, None).await
}
