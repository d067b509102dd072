//! Whether the API lives, and whether it can do its work.

use std::future::Future;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use taskmaster_store as store;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::ApiState;
use crate::caller::Caller;

const PATIENCE: Duration = Duration::from_secs(2);

/// The API lives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alive {
    /// Always `ok`.
    status: &'static str,
}

/// What the API needs, each `ok` or what is the matter with it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Without it nothing works.
    postgres: &'static str,
    /// Without it nothing starts.
    rabbitmq: &'static str,
}

/// Says that the API lives, whatever else does.
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Alive)))]
pub(crate) async fn healthz(_caller: Caller) -> Json<Alive> {
    Json(Alive { status: "ok" })
}

/// Says whether Postgres and RabbitMQ answer, within 2 seconds.
#[utoipa::path(get, path = "/readyz", tag = "health", responses(
    (status = 200, description = "Both answer.", body = Readiness),
    (status = 503, description = "One does not.", body = Readiness),
))]
pub(crate) async fn readyz(
    _caller: Caller,
    State(state): State<ApiState>,
) -> (StatusCode, Json<Readiness>) {
    let (postgres, rabbitmq) = tokio::join!(
        answer("Postgres", store::ping(&state.pool)),
        answer("RabbitMQ", state.control.ping())
    );
    let status = match (postgres, rabbitmq) {
        ("ok", "ok") => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(Readiness { postgres, rabbitmq }))
}

/// The reason goes to the log: it may name hosts and users.
async fn answer<E: std::fmt::Display>(
    of: &'static str,
    ping: impl Future<Output = Result<(), E>>,
) -> &'static str {
    match timeout(PATIENCE, ping).await {
        Ok(Ok(())) => "ok",
        Ok(Err(error)) => {
            tracing::debug!(%error, "{of} is not ready");
            "not available"
        }
        Err(_) => "does not answer",
    }
}
