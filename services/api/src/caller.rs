//! Who makes a request: the one door through which every handler learns it.

use std::convert::Infallible;
use std::fmt;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::ApiState;

/// Who makes a request. Every handler takes one, so that roles and tokens will have one place to live in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Whoever can reach the API's address: it listens on loopback unless told otherwise.
    LocalOperator,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalOperator => f.write_str("local operator"),
        }
    }
}

impl FromRequestParts<ApiState> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(
        _parts: &mut Parts,
        _state: &ApiState,
    ) -> Result<Self, Self::Rejection> {
        let caller = Self::LocalOperator;
        tracing::Span::current().record("caller", tracing::field::display(caller));
        Ok(caller)
    }
}
