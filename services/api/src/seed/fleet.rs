//! `POST /api/workers/scale` and `POST /api/workers/kill`

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use taskmaster_core::{FieldError, WorkerName};
use taskmaster_fleet::{FleetError, MAX_WORKERS, MIN_WORKERS, ScaleOutcome};
use taskmaster_store::{bounded, workers};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use crate::ApiState;
use crate::autoscaler;
use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::ApiError;

/// How many workers there are to be.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `scale` takes")]
struct ScaleRequest {
    /// 1 to 50.
    #[schema(minimum = 1, maximum = 50)]
    count: u32,
}

/// What a scaling set in motion.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScaleResult {
    /// How many workers there are to be.
    count: u32,
    /// The names of those that were started.
    started: Vec<String>,
    /// The names of those that finish what they run and then go.
    draining: Vec<String>,
    /// The same in words.
    message: String,
}

/// Which worker is to stop.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `kill` takes")]
struct KillRequest {
    /// Its name.
    name: String,
}

/// Which worker was told to stop.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KillResult {
    /// Its name.
    name: String,
    /// The same in words.
    message: String,
}

/// Makes the fleet this large. Workers that go finish what they run first.
#[utoipa::path(
    post, path = "/api/workers/scale", tag = "original", operation_id = "scale",
    request_body = ScaleRequest,
    responses((status = 200, body = ScaleResult)),
)]
pub(crate) async fn scale(
    _caller: Caller,
    State(state): State<ApiState>,
    JsonBody(body): JsonBody,
) -> Result<Json<ScaleResult>, ApiError> {
    let count = only_field(body, "count")?
        .as_u64()
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| (MIN_WORKERS..=MAX_WORKERS).contains(count))
        .ok_or_else(|| {
            let message = format!("must be a whole number from {MIN_WORKERS} to {MAX_WORKERS}");
            ApiError::field("count", message)
        })?;
    let loads = loads(&state).await?;
    let (steps, _) = mpsc::unbounded_channel();
    let scaled = state.fleet.scale(count, &loads, steps).await;
    let ScaleOutcome {
        started, draining, ..
    } = scaled.map_err(refusal)?;
    autoscaler::pin(&state).await;
    let message = format!(
        "scaled to {count}: {} started, {} draining",
        started.len(),
        draining.len()
    );
    Ok(Json(ScaleResult {
        count,
        started,
        draining,
        message,
    }))
}

/// Stops one worker, and makes the fleet smaller by it.
#[utoipa::path(
    post, path = "/api/workers/kill", tag = "original", operation_id = "kill",
    request_body = KillRequest,
    responses((status = 200, body = KillResult)),
)]
pub(crate) async fn kill(
    _caller: Caller,
    State(state): State<ApiState>,
    JsonBody(body): JsonBody,
) -> Result<Json<KillResult>, ApiError> {
    let name = only_field(body, "name")?;
    let name = name
        .as_str()
        .ok_or_else(|| ApiError::field("name", "must be a string: the name of a worker"))?;
    let name: WorkerName = name
        .parse()
        .map_err(|error: taskmaster_core::InvalidWorkerName| {
            ApiError::field("name", error.to_string())
        })?;
    let (steps, _) = mpsc::unbounded_channel();
    let killed = state.fleet.kill(name.as_str(), steps).await;
    killed.map_err(refusal)?;
    autoscaler::pin(&state).await;
    let message = format!("{name} was told to stop");
    let name = name.into();
    Ok(Json(KillResult { name, message }))
}

/// The value of the only field that the body may have.
fn only_field(body: Value, field: &str) -> Result<Value, ApiError> {
    let Value::Object(mut fields) = body else {
        let message = format!("must be a JSON object with the field {field}");
        return Err(ApiError::field("body", message));
    };
    let value = fields.remove(field);
    let mut errors = unknown(&fields, field);
    if value.is_none() {
        errors.insert(0, FieldError::new(field, "required"));
    }
    value
        .filter(|_| errors.is_empty())
        .ok_or(ApiError::BadInput(errors))
}

fn unknown(fields: &Map<String, Value>, known: &str) -> Vec<FieldError> {
    let errors = fields
        .keys()
        .map(|name| FieldError::new(name, format!("unknown field: there is only {known}")));
    errors.collect()
}

/// How many tasks each worker runs and holds, so that those with least to do go first.
pub(crate) async fn loads(state: &ApiState) -> Result<HashMap<String, u32>, ApiError> {
    let workers = bounded(workers::list(&state.pool)).await?;
    let loads = workers.into_iter().map(|worker| {
        let load = u32::try_from(worker.running + worker.assigned).unwrap_or(u32::MAX);
        (worker.name, load)
    });
    Ok(loads.collect())
}

pub(crate) fn refusal(error: FleetError) -> ApiError {
    match error {
        FleetError::NotAvailable => {
            let detail = "this API does not control a fleet: start and stop workers by hand, or use `taskmaster up`";
            ApiError::Refused(StatusCode::NOT_IMPLEMENTED, detail.to_owned())
        }
        FleetError::UnknownWorker(name) => {
            ApiError::NotFound(format!("name: there is no worker {name:?} in this fleet"))
        }
        FleetError::OutOfRange { .. } => ApiError::field("count", error.to_string()),
        FleetError::NoTemplate | FleetError::Refused(_) => ApiError::Conflict(error.to_string()),
        FleetError::ShuttingDown | FleetError::EngineAway => {
            ApiError::Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
        }
        error => ApiError::Internal(error.into()),
    }
}
