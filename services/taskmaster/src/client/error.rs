//! Why a request came to nothing, each in one line for the terminal.

use std::fmt;

use reqwest::StatusCode;
use serde::Deserialize;
use taskmaster_core::FieldError;

/// A request that was not answered with what was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody listens there.
    #[error(
        "cannot reach the TaskMaster API at {api}: start it with 'taskmaster up', or set TASKMASTER_API"
    )]
    Unreachable {
        /// Where.
        api: String,
    },
    /// It is not known to be what it says it is.
    #[error(
        "the TaskMaster API at {api} has no certificate that can be trusted ({reason}): if its authority is your own, name \
         that one's file in SSL_CERT_FILE"
    )]
    Untrusted {
        /// Where.
        api: String,
        /// What is wrong with its certificate.
        reason: String,
    },
    /// The connection was lost before the answer was there.
    #[error("the connection to the TaskMaster API at {api} was lost: {reason}")]
    Broken {
        /// Where.
        api: String,
        /// What the system said.
        reason: String,
    },
    /// The API says no, and why.
    #[error("{problem}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// Its reasons.
        problem: Problem,
    },
    /// Something in between says that the API is not there now.
    #[error("the TaskMaster API at {api} is away for now ({status})")]
    Away {
        /// Where.
        api: String,
        /// What a proxy answered.
        status: StatusCode,
    },
    /// Something else listens there, or another version.
    #[error("{api} does not answer as the TaskMaster API does ({reason}): check TASKMASTER_API")]
    Unexpected {
        /// Where.
        api: String,
        /// What is odd.
        reason: String,
    },
}

impl Error {
    /// Whether the same request may succeed a moment later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Away { .. } => true,
            Self::Refused { status, .. } => status.is_server_error(),
            Self::Untrusted { .. } | Self::Unexpected { .. } => false,
        }
    }

    /// Whether the request may have been carried out without our hearing of it, or may be a moment later.
    pub(crate) fn leaves_open(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Away { .. } => true,
            Self::Refused { status, .. } => is_not_now(*status),
            Self::Untrusted { .. } | Self::Unexpected { .. } => false,
        }
    }
}

/// What is wrong with a certificate, if that is what made a request fail.
pub(super) fn certificate(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(rustls::Error::InvalidCertificate(reason)) = error.downcast_ref() {
        return Some(reason.to_string());
    }
    // What an I/O error wraps is not its source.
    let wrapped = error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    match wrapped {
        Some(wrapped) => certificate(wrapped),
        None => certificate(error.source()?),
    }
}

/// What is answered while something is away: the API's own 503, and the like of a proxy in front of it.
pub(super) fn is_not_now(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

/// An RFC 9457 problem, as the API sends it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// The kind of problem.
    pub(crate) title: String,
    /// What happened this time.
    pub(crate) detail: Option<String>,
    /// What is wrong with which field.
    pub(crate) errors: Vec<FieldError>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = self.detail.as_deref().unwrap_or(&self.title);
        f.write_str(
            summary
                .trim_end_matches('.')
                .trim_end_matches(": see errors"),
        )?;
        let news = self
            .errors
            .iter()
            .filter(|error| !summary.contains(&error.message));
        for (i, error) in news.enumerate() {
            f.write_str(if i == 0 { ": " } else { "; " })?;
            if !error.field.is_empty() {
                write!(f, "{}: ", error.field)?;
            }
            f.write_str(&error.message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_line_with_its_fields() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"about:blank","title":"Bad Request","status":422,"detail":"The submission is not valid.",
                "errors":[{"field":"priority","message":"must be -100 to 100"},{"field":"","message":"odd"}]}"#,
        )
        .unwrap();
        assert_eq!(
            problem.to_string(),
            "The submission is not valid: priority: must be -100 to 100; odd"
        );

        let bare: Problem = serde_json::from_str(r#"{"title":"Conflict"}"#).unwrap();
        assert_eq!(bare.to_string(), "Conflict");
    }
}
