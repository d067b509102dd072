//! Everything that can go wrong in a request, and the answer to each.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use taskmaster_core::FieldError;
use taskmaster_fleet::FleetError;
use taskmaster_store as store;

use crate::problem::{PROBLEM_JSON, Problem};

/// The most field errors that one answer lists.
const MOST_ERRORS: usize = 100;

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// Something in the request is not allowed. 400.
    #[error("bad input")]
    BadInput(Vec<FieldError>),
    /// There is no such thing. 404.
    #[error("not found: {0}")]
    NotFound(String),
    /// Not in the state that the thing is in. 409.
    #[error("conflict: {0}")]
    Conflict(String),
    /// Any other refusal, with its status and reason; with 502, somebody that this depends on has failed.
    #[error("refused with {0}: {1}")]
    Refused(StatusCode, String),
    /// Postgres. 503 if it is away, else 500.
    #[error(transparent)]
    Store(#[from] Arc<store::Error>),
    /// A fault of ours. 500.
    #[error("{0:#}")]
    Internal(#[from] anyhow::Error),
}

impl ApiError {
    /// One field that is not allowed as it is.
    pub(crate) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::BadInput(vec![FieldError::new(field, message)])
    }

    /// There is no task with this id.
    pub(crate) fn no_task(id: uuid::Uuid) -> Self {
        Self::NotFound(format!("there is no task with the id {id}"))
    }

    /// Whether the request was looked at and found to be impossible, so that nothing was tried.
    pub(crate) fn is_refusal(&self) -> bool {
        !matches!(
            self,
            Self::Store(_) | Self::Internal(_) | Self::Refused(StatusCode::BAD_GATEWAY, _)
        )
    }

    /// What its answer says.
    pub(crate) fn detail(&self) -> String {
        self.problem().detail
    }

    fn problem(&self) -> Problem {
        match self {
            Self::BadInput(errors) => bad_input(errors.clone()),
            Self::NotFound(detail) => Problem::new(StatusCode::NOT_FOUND, detail),
            Self::Conflict(detail) => Problem::new(StatusCode::CONFLICT, detail),
            Self::Refused(status, detail) => Problem::new(*status, detail),
            Self::Store(error) if error.is_unavailable() => unavailable(),
            // The log says what happened, the answer does not.
            Self::Store(_) | Self::Internal(_) => {
                let detail = "TaskMaster made a mistake; its log says which";
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
            }
        }
    }
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<FleetError> for ApiError {
    fn from(error: FleetError) -> Self {
        match error {
            FleetError::NotAvailable => {
                let detail = "this API does not control a fleet: start and stop workers by hand, or use `taskmaster up`";
                Self::Refused(StatusCode::NOT_IMPLEMENTED, detail.to_owned())
            }
            FleetError::UnknownWorker(name) => {
                Self::NotFound(format!("name: there is no worker {name:?} in this fleet"))
            }
            FleetError::OutOfRange { .. } => Self::field("count", error.to_string()),
            FleetError::NoTemplate | FleetError::Refused(_) => Self::Conflict(error.to_string()),
            FleetError::ShuttingDown | FleetError::EngineAway => {
                Self::Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            FleetError::EngineFailed { .. } => {
                Self::Refused(StatusCode::BAD_GATEWAY, error.to_string())
            }
            error => Self::Internal(error.into()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match &self {
            Self::Store(error) if error.is_unavailable() => tracing::warn!(%error, "answered 503"),
            Self::Store(error) => tracing::error!(%error, "answered 500"),
            Self::Internal(error) => {
                tracing::error!(error = format!("{error:#}"), "answered 500")
            }
            _ => {}
        }
        self.problem().into_response()
    }
}

fn bad_input(mut errors: Vec<FieldError>) -> Problem {
    let detail = match errors.as_slice() {
        [only] => only.to_string(),
        all => format!("{} things are not allowed: see errors", all.len()),
    };
    errors.truncate(MOST_ERRORS);
    Problem::new(StatusCode::BAD_REQUEST, detail).with_errors(errors)
}

fn unavailable() -> Problem {
    // A connection that breaks between a commit and its answer leaves it open whether there was one, and so does an
    // answer that is not waited for any longer.
    let detail = "Postgres is not available; nothing was stored or changed, unless the connection broke \
        during the commit or Postgres took too long over it. Try again in a moment";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
}

/// Gives every error that axum or a layer made by itself the shape of all the others.
pub(crate) async fn explain_bare_errors(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let in_api = request.uri().path().starts_with("/api");
    let response = next.run(request).await;
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(CONTENT_TYPE);
    let is_ours = content_type.is_some_and(|content_type| content_type == PROBLEM_JSON);
    if !is_error || is_ours || !(in_api || status == StatusCode::METHOD_NOT_ALLOWED) {
        return response;
    }
    let detail = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            format!("{method} is not possible at this address: the Allow header says what is")
        }
        StatusCode::NOT_FOUND => nothing_here(),
        _ => "the request was not carried out".to_owned(),
    };
    let mut explained = Problem::new(status, detail).into_response();
    if let Some(allow) = response.headers().get(ALLOW) {
        explained.headers_mut().insert(ALLOW, allow.clone());
    }
    explained
}

/// The detail of an address that nothing answers to.
pub(crate) fn nothing_here() -> String {
    "there is nothing at this address: /api/docs has all that there is".to_owned()
}
