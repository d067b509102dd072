//! How an operation on the fleet is answered: with 202 and where to look for it, or with its steps as they come.

use axum::Json;
use axum::http::header::{ACCEPT, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use taskmaster_store::audit::{self, Outcome};
use taskmaster_store::bounded;
use uuid::Uuid;

use super::sse;
use crate::ApiState;
use crate::error::ApiError;
use crate::operations::{Decided, Operation, Told};
use crate::seed::fleet::ScaleResult;

/// The end of an operation, as the last event of its stream tells it.
#[derive(Debug, Serialize)]
struct OperationEnd {
    /// The operation.
    operation_id: Uuid,
    /// How it ended.
    outcome: Outcome,
    /// Why it was refused, or what went wrong.
    error: Option<String>,
}

/// Answers once it is under way; `count` is how many workers there are to be, if it is a scaling.
///
/// # Errors
/// When it is refused before anything was done.
pub(crate) async fn answer(
    state: &ApiState,
    headers: &HeaderMap,
    mut operation: Operation,
    count: Option<u32>,
) -> Result<Response, ApiError> {
    // Nothing is told until it has its turn; what is told first says whether it is refused.
    let first = match operation.next().await {
        Some(Told::Decided(Err(error))) => return Err(error),
        first => first,
    };
    if wants_events(headers) {
        return Ok(stream(state, operation, first, count));
    }
    let id = operation.id;
    let entry = bounded(audit::get(&state.pool, id)).await?;
    let entry = entry.ok_or_else(|| anyhow::anyhow!("an operation that was stored is gone"))?;
    Ok((StatusCode::ACCEPTED, location(id), Json(entry)).into_response())
}

/// Where an operation is looked for.
pub(crate) fn location(id: Uuid) -> HeaderMap {
    let address = HeaderValue::try_from(format!("/api/v1/audit/{id}"));
    address
        .map(|address| (LOCATION, address))
        .into_iter()
        .collect()
}

fn wants_events(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter();
    accepted.any(|value| {
        let value = value.to_str().unwrap_or_default();
        value.to_ascii_lowercase().contains("text/event-stream")
    })
}

/// An event for each step, one for what was decided, and one for the end.
fn stream(
    state: &ApiState,
    mut operation: Operation,
    first: Option<Told>,
    count: Option<u32>,
) -> Response {
    let shutdown = state.shutdown.clone();
    let operation_id = operation.id;
    sse::answer(async_stream::stream! {
        yield sse::event("operation", &json!({ "operation_id": operation_id }));
        let mut told = first;
        while let Some(now) = told.take() {
            match now {
                Told::Step(step) => yield sse::event("step", &step),
                Told::Decided(Ok(Decided::Scaled(scaled))) => {
                    let result = ScaleResult::new(count.unwrap_or_default(), operation_id, scaled);
                    yield sse::event("decided", &result);
                }
                Told::Decided(Ok(Decided::Drained(worker))) => yield sse::event("decided", &worker),
                Told::Decided(Ok(Decided::Killed)) => yield sse::event("decided", &json!({})),
                // After steps were told: the end says why.
                Told::Decided(Err(_)) => {}
                Told::Done { outcome, error } => {
                    let end = OperationEnd { operation_id, outcome, error };
                    yield sse::event("done", &end);
                    return;
                }
            }
            told = shutdown.run_until_cancelled(operation.next()).await.flatten();
        }
    })
}
