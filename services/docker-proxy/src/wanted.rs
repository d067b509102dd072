//! The little that is read of a body. The rest is passed over as it is read: as JSON in memory it would be twenty times as
//! long as its text.

use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::refusal::Refusal;

/// The longest hash of a configuration, in bytes. Compose's have 64 digits.
const LONGEST_HASH: usize = 128;

/// What a caller wants.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(crate) struct Wanted {
    labels: Option<Labels>,
    mode: Option<Mode>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Labels {
    /// `taskmaster_fleet::docker::spec::CONFIG_HASH`
    #[serde(rename = "com.docker.compose.config-hash")]
    config_hash: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Mode {
    replicated: Option<Replicated>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Replicated {
    replicas: Option<u64>,
}

impl Wanted {
    /// Nothing is wanted by JSON of another form.
    ///
    /// # Errors
    /// When it is no JSON, or the hash is none.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice::<IgnoredAny>(body)
            .map_err(|_| Refusal::body(StatusCode::BAD_REQUEST, "the body is no JSON"))?;
        let wanted: Self = serde_json::from_slice(body).unwrap_or_default();
        match wanted.config_hash() {
            Some(hash) if hash.len() > LONGEST_HASH => Err(Refusal::new("no hash of Compose's")),
            _ => Ok(wanted),
        }
    }

    /// Of what configuration the new worker is to be.
    pub(crate) fn config_hash(&self) -> Option<&str> {
        self.labels.as_ref()?.config_hash.as_deref()
    }

    /// How many replicas a service is to have.
    pub(crate) fn replicas(&self) -> Option<u64> {
        self.mode.as_ref()?.replicated.as_ref()?.replicas
    }
}

#[cfg(test)]
mod tests {
    use taskmaster_fleet::docker::spec::CONFIG_HASH;

    use super::*;

    #[test]
    fn what_is_wanted_is_found_and_nothing_else_is_kept() {
        let body = format!(
            r#"{{"Image": "x", "Labels": {{"a": [1], "{CONFIG_HASH}": "c0ffee"}}, "HostConfig": {{}}}}"#
        );
        let wanted = Wanted::read(body.as_bytes()).unwrap();
        assert_eq!(wanted.config_hash(), Some("c0ffee"));
        assert_eq!(wanted.replicas(), None);
        let wanted =
            Wanted::read(br#"{"Labels": {"a": "b"}, "Mode": {"Replicated": {"Replicas": 7}}}"#);
        assert_eq!(wanted.unwrap().replicas(), Some(7));
    }

    #[test]
    fn other_json_wants_nothing() {
        for body in [
            "null",
            "{}",
            "[]",
            "5",
            r#"{"Labels": null, "Mode": null}"#,
            r#"{"Labels": []}"#,
            r#"{"Labels": "x"}"#,
            r#"{"Mode": {"Global": {}}}"#,
            r#"{"Mode": {"Replicated": {"Replicas": "3"}}}"#,
            r#"{"Mode": {"Replicated": {"Replicas": -3}}}"#,
        ] {
            let wanted = Wanted::read(body.as_bytes()).unwrap();
            assert_eq!(
                (wanted.config_hash(), wanted.replicas()),
                (None, None),
                "{body}"
            );
        }
    }

    #[test]
    fn what_is_no_json_or_no_hash_is_refused() {
        for body in ["", "x", "{", "null x", "[1"] {
            assert!(Wanted::read(body.as_bytes()).is_err(), "{body}");
        }
        let long = format!(
            r#"{{"Labels": {{"{CONFIG_HASH}": "{}"}}}}"#,
            "0".repeat(129)
        );
        assert!(Wanted::read(long.as_bytes()).is_err());
    }
}
