//! `NAME=VALUE`.

use std::collections::BTreeMap;

/// Splits an environment variable at its first `=`.
///
/// # Errors
/// When there is none, or nothing before it.
pub(crate) fn parse(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// All of them; the last one of a name wins. `None` if there are none.
pub(crate) fn collect(pairs: Vec<(String, String)>) -> Option<BTreeMap<String, String>> {
    (!pairs.is_empty()).then(|| pairs.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_at_the_first_sign() {
        assert_eq!(parse("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(parse("A="), Ok(("A".to_owned(), String::new())));
        assert!(parse("A").is_err() && parse("=b").is_err() && parse("").is_err());
    }
}
