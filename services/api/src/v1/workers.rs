//! `/api/v1/workers`, and what people ask of a worker.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use taskmaster_broker::{WorkerEvent, WorkerMessage};
use taskmaster_fleet::FleetError;
use taskmaster_store::bounded;
use taskmaster_store::workers::{self, Drain, Worker};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use crate::ApiState;
use crate::autoscaler;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::query::Parameters;
use crate::worker_name::NamedWorker;

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
/// A worker of this TaskMaster's own fleet stays away, and the fleet is smaller by it. Whatever else started it, such as
/// systemd or Kubernetes, may start it again. Asked again while it drains, the answer is the same; 404 if there never was
/// a worker of this name, 409 if it is offline.
#[utoipa::path(
    post, path = "/api/v1/workers/{name}/drain", tag = "workers", operation_id = "drain_worker",
    params(("name" = String, Path, description = "The worker's name.")),
    responses((status = 202, description = "The worker, draining.", body = Worker)),
)]
pub(crate) async fn drain(
    _caller: Caller,
    State(state): State<ApiState>,
    NamedWorker(name): NamedWorker,
    parameters: Parameters,
) -> Result<(StatusCode, Json<Worker>), ApiError> {
    parameters.finish()?;
    let worker = match bounded(workers::request_drain(&state.pool, name.as_str())).await? {
        Drain::Requested(worker) => worker,
        Drain::Offline => {
            let detail = format!("worker {name} is offline: there is nothing to drain");
            return Err(ApiError::Conflict(detail));
        }
        Drain::NotFound => {
            let detail = format!("there is no worker named {name}");
            return Err(ApiError::NotFound(detail));
        }
    };
    // If it is a child of ours, its end must not be taken for a crash. It may have gone just now, of its own accord.
    let (steps, _) = mpsc::unbounded_channel();
    match state.fleet.drain(&worker.name, steps).await {
        Ok(()) => autoscaler::pin(&state).await,
        Err(FleetError::UnknownWorker(_) | FleetError::NotAvailable) => {}
        Err(error) => {
            tracing::warn!(worker.name = worker.name, %error, "the fleet was not told of a drain")
        }
    }
    state.events.worker(WorkerEvent {
        name: worker.name.clone(),
        status: worker.status.clone(),
    });
    tell_worker(&state, worker.name.clone());
    Ok((StatusCode::ACCEPTED, Json(worker)))
}

/// Nobody waits for it: a worker that is not reached now learns of the request with its next heartbeat.
fn tell_worker(state: &ApiState, worker_name: String) {
    let control = state.control.clone();
    tokio::spawn(async move {
        if let Err(error) = control.send(&worker_name, &WorkerMessage::Drain).await {
            tracing::debug!(worker.name = worker_name, %error, "the worker was not told to drain");
        }
    });
}
