//! The name of a worker: a queue is named for it, so it is parsed once and trusted afterwards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// 1 to 63 letters, digits, `.`, `_` or `-`, the first a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkerName(String);

/// The text cannot be a worker's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a worker's name has 1 to 63 letters, digits, '.', '_' or '-', and begins with a letter or digit"
)]
pub struct InvalidWorkerName;

impl WorkerName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WorkerName {
    type Err = InvalidWorkerName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let valid = text.len() <= 63
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.chars().all(allowed);
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidWorkerName)
        }
    }
}

impl TryFrom<String> for WorkerName {
    type Error = InvalidWorkerName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WorkerName> for String {
    fn from(name: WorkerName) -> Self {
        name.0
    }
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_could_be_anything_else() {
        for good in [
            "worker-1",
            "a",
            "Taskmaster-master-worker-2",
            &"x".repeat(63),
        ] {
            assert!(good.parse::<WorkerName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "; rm -rf /",
            "a b",
            "a/b",
            "ä",
            &"x".repeat(64),
            "a\0",
        ] {
            assert!(bad.parse::<WorkerName>().is_err(), "{bad}");
        }
    }
}
