//! The name of a worker in the path of a request.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use taskmaster_core::{InvalidWorkerName, WorkerName};

use crate::error::ApiError;

/// `{name}` of the path.
#[derive(Debug, Clone)]
pub(crate) struct NamedWorker(pub(crate) WorkerName);

impl<S: Send + Sync> FromRequestParts<S> for NamedWorker {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let text = text.map(|Path(text)| text).unwrap_or_default();
        text.parse()
            .map(Self)
            .map_err(|error: InvalidWorkerName| ApiError::field("name", error.to_string()))
    }
}
