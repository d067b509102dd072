//! `/api/v1/events`: what changes, as it changes.

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::sse;
use crate::ApiState;
use crate::caller::Caller;
use crate::error::ApiError;
use crate::live::Change;
use crate::query::Parameters;

/// Follows changes as server-sent events.
///
/// `tasks` has `{"tasks": [{"id", "status", "assigned_worker_name"}]}`, `workers` has
/// `{"workers": [{"name", "status"}]}`, and `resync`, with `{}`, says that changes may have been missed: fetch again
/// what is shown. The first event is `live` or `lost`, with `{}`; `lost` says that nothing is told until the next `resync`,
/// because RabbitMQ is out of reach.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events", operation_id = "events",
    responses((status = 200, body = String, content_type = "text/event-stream")),
)]
pub(crate) async fn follow(
    _caller: Caller,
    State(state): State<ApiState>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    parameters.finish()?;
    let mut listener = state.live.listen();
    let connected = state.live.is_connected();
    let shutdown = state.shutdown.clone();
    Ok(sse::answer(async_stream::stream! {
        yield sse::event(if connected { "live" } else { "lost" }, &json!({}));
        while let Some(Some(change)) = shutdown.run_until_cancelled(listener.next()).await {
            yield match change {
                Change::Tasks(tasks) => sse::event("tasks", &json!({ "tasks": &*tasks })),
                Change::Workers(workers) => sse::event("workers", &json!({ "workers": &*workers })),
                Change::Unknown => sse::event("resync", &json!({})),
                Change::Lost => sse::event("lost", &json!({})),
            };
        }
    }))
}
