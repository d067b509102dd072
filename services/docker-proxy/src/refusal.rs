//! What is answered when the engine is not asked, or does not answer: `{"message": "…"}`, as the engine's own errors.

use std::borrow::Cow;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::engine::EngineError;

/// The proxy does not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    reason: Cow<'static, str>,
}

impl Refusal {
    /// Not allowed, and never will be. 403.
    pub(crate) fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            reason: reason.into(),
        }
    }

    /// Not as things are now: look again, and ask for something else. 409.
    pub(crate) fn conflict(reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::CONFLICT,
            ..Self::new(reason)
        }
    }

    /// Not now. 429, and no 5xx, which would say that the engine is away.
    pub(crate) fn too_many() -> Self {
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            ..Self::new("too many requests at once")
        }
    }

    /// Somebody else has changed it since the caller looked: 500, in Swarm's own words, by which its clients know it.
    pub(crate) fn out_of_sequence() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Self::new("update out of sequence")
        }
    }

    /// The body is too long (413), does not come (408), or is no JSON (400).
    pub(crate) fn body(status: StatusCode, reason: &'static str) -> Self {
        Self {
            status,
            ..Self::new(reason)
        }
    }

    pub(crate) fn reason(&self) -> &str {
        &self.reason
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        message(self.status, &self.reason)
    }
}

/// Why a request has no answer of the engine's.
#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refusal),
    Engine(EngineError),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

pub(crate) fn message(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({ "message": text }))).into_response()
}
