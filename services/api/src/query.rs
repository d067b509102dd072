//! A request's query: each parameter is taken by name, and what nobody took is refused.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use taskmaster_core::FieldError;

use crate::error::ApiError;

/// The parameters of a query. An empty value is as good as none.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    given: Vec<(String, String)>,
    known: Vec<&'static str>,
    errors: Vec<FieldError>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let Query(given) = Query::try_from_uri(&parts.uri)
            .map_err(|_| ApiError::field("query", "must be name=value pairs joined by &"))?;
        Ok(Self {
            given,
            ..Self::default()
        })
    }
}

impl Parameters {
    /// Takes the parameter `name`, if it is there, and reads it with `read`, which says what is allowed if it cannot.
    pub(crate) fn take<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(name);
        let mut values = self.given.extract_if(.., |(given, _)| given == name);
        let value = values.next().map(|(_, value)| value).unwrap_or_default();
        let more = values.count() > 0;
        let fault = if more {
            "must be given once".to_owned()
        } else if value.is_empty() {
            return None;
        } else {
            match read(&value) {
                Ok(value) => return Some(value),
                Err(fault) => fault,
            }
        };
        self.errors.push(FieldError::new(name, fault));
        None
    }

    /// Checks that every parameter was taken, and that each was valid.
    ///
    /// # Errors
    /// [`ApiError::BadInput`] with all that is wrong.
    pub(crate) fn finish(mut self) -> Result<(), ApiError> {
        let known = match self.known.as_slice() {
            [] => "there are no parameters here".to_owned(),
            known => format!("unknown: there are {}", known.join(", ")),
        };
        for (name, _) in self.given {
            self.errors.push(FieldError::new(name, known.clone()));
        }
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(ApiError::BadInput(self.errors))
        }
    }
}

/// Reads a whole number from `low` to `high`.
pub(crate) fn number(low: i64, high: i64) -> impl FnOnce(&str) -> Result<i64, String> {
    move |text| match text.parse() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {low} to {high}")),
    }
}

/// Reads a task's id.
pub(crate) fn id(text: &str) -> Result<uuid::Uuid, String> {
    text.parse().map_err(|_| {
        "must be a task's id, a UUID such as 0190f5c2-6b1e-7d3c-9a70-3f2f6f1f8a55".to_owned()
    })
}
