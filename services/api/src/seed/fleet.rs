//! `POST /api/workers/scale` and `POST /api/workers/kill`

use anyhow::anyhow;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};
use taskmaster_core::{FieldError, WorkerName};
use taskmaster_fleet::{MAX_WORKERS, MIN_WORKERS, ScaleOutcome};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::body::JsonBody;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::operations::{Change, Decided, Order};
use crate::{ApiState, operations};

/// How many workers there are to be.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what `scale` takes")]
pub(crate) struct ScaleRequest {
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
    /// Those that could not be started.
    failed: Vec<FailedWorker>,
    /// What `/api/v1/audit/{id}` knows it by.
    operation_id: Uuid,
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
    /// What `/api/v1/audit/{id}` knows it by.
    operation_id: Uuid,
    /// The same in words.
    message: String,
}

/// A worker that could not be started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailedWorker {
    /// Its name, or the name that its container was to have.
    name: String,
    /// What was not reached: `created` or `started`.
    step: String,
    /// Why.
    reason: String,
}

impl ScaleResult {
    /// What the operation `id` has set in motion on the way to `count` workers.
    pub(crate) fn new(count: u32, id: Uuid, scaled: ScaleOutcome) -> Self {
        let ScaleOutcome {
            started,
            draining,
            failed,
        } = scaled;
        let mut message = format!(
            "scaled to {count}: {} started, {} draining",
            started.len(),
            draining.len()
        );
        if !failed.is_empty() {
            message += &format!(", {} failed", failed.len());
        }
        let failed = failed.into_iter().map(|failure| FailedWorker {
            step: operations::name_of(&failure.step),
            name: failure.name,
            reason: failure.reason,
        });
        Self {
            count,
            started,
            draining,
            failed: failed.collect(),
            operation_id: id,
            message,
        }
    }
}

/// Makes the fleet this large. Workers that go finish what they run first.
///
/// Answers when those that are new are started and the others told to go. 409 while another change of the fleet is under way
/// and takes long, 502 when the Docker engine fails or none of the new ones could be started, 503 when it does not answer or
/// too many changes wait.
#[utoipa::path(
    post, path = "/api/workers/scale", tag = "original", operation_id = "scale",
    request_body = ScaleRequest,
    responses((status = 200, body = ScaleResult)),
)]
pub(crate) async fn scale(
    caller: Caller,
    State(state): State<ApiState>,
    JsonBody(body): JsonBody,
) -> Result<Json<ScaleResult>, ApiError> {
    let count = read_count(body)?;
    let order = Order::by_hand(caller, Change::Scale(count));
    let mut operation = operations::begin(&state, order).await?;
    let Decided::Scaled(scaled) = operation.decided().await? else {
        return Err(anyhow!("a scaling was decided as something else").into());
    };
    if operations::has_failed(&scaled) {
        let detail = format!("no worker was started: {}", operations::failures(&scaled));
        return Err(ApiError::Refused(StatusCode::BAD_GATEWAY, detail));
    }
    Ok(Json(ScaleResult::new(count, operation.id, scaled)))
}

/// Stops one worker, by its name or that of its container, and makes the fleet smaller by it.
#[utoipa::path(
    post, path = "/api/workers/kill", tag = "original", operation_id = "kill",
    request_body = KillRequest,
    responses((status = 200, body = KillResult)),
)]
pub(crate) async fn kill(
    caller: Caller,
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
    let order = Order::by_hand(caller, Change::Kill(name.clone()));
    let mut operation = operations::begin(&state, order).await?;
    operation.decided().await?;
    let message = format!("{name} was told to stop");
    Ok(Json(KillResult {
        name: name.into(),
        operation_id: operation.id,
        message,
    }))
}

/// The number of workers that a body asks for.
///
/// # Errors
/// [`ApiError::BadInput`].
pub(crate) fn read_count(body: Value) -> Result<u32, ApiError> {
    only_field(body, "count")?
        .as_u64()
        .and_then(|count| u32::try_from(count).ok())
        .filter(|count| (MIN_WORKERS..=MAX_WORKERS).contains(count))
        .ok_or_else(|| {
            let message = format!("must be a whole number from {MIN_WORKERS} to {MAX_WORKERS}");
            ApiError::field("count", message)
        })
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
