//! The filters of a list: ours, of which a caller may name any.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::refusal::Refusal;

/// The engine requires every name; of a name's values it requires each (`label`) or one (all others).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    pub(crate) fn new<const N: usize>(filters: [(&str, Vec<String>); N]) -> Self {
        Self(
            filters
                .map(|(name, values)| (name.to_owned(), values))
                .into(),
        )
    }

    /// As a caller writes them: `{"name": ["value"]}`, or with the older `{"name": {"value": true}}`.
    pub(crate) fn read(text: &str) -> Result<Self, Refusal> {
        let refuse = || Refusal::new("filters must be an object of lists of texts");
        let Ok(Value::Object(object)) = serde_json::from_str(text) else {
            return Err(refuse());
        };
        let mut filters = BTreeMap::new();
        for (name, values) in object {
            let values: Option<Vec<String>> = match values {
                Value::Array(values) => {
                    let values = values.into_iter();
                    values
                        .map(|value| Some(value.as_str()?.to_owned()))
                        .collect()
                }
                Value::Object(values) => {
                    let values = values.into_iter();
                    values
                        .map(|(value, on)| (on == Value::Bool(true)).then_some(value))
                        .collect()
                }
                _ => None,
            };
            filters.insert(name, values.ok_or_else(refuse)?);
        }
        Ok(Self(filters))
    }

    /// These, which require all that the caller asks for.
    ///
    /// # Errors
    /// When they do not.
    pub(crate) fn including(self, asked: &Self) -> Result<Self, Refusal> {
        for (name, values) in &asked.0 {
            let Some(ours) = self.0.get(name) else {
                return Err(Refusal::new("a filter that is not allowed"));
            };
            // A label without a value is required by ours with one.
            let required = |value: &String| {
                let mut ours = ours.iter();
                ours.any(|ours| ours == value || ours.split('=').next() == Some(value))
            };
            if !values.iter().all(required) {
                return Err(Refusal::new("a filter for what is not ours"));
            }
        }
        Ok(self)
    }

    /// As the engine reads them.
    pub(crate) fn to_json(&self) -> String {
        serde_json::json!(self.0).to_string()
    }
}
