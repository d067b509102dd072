//! How text that is one of a few words is described in the OpenAPI document.

use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// A string that is one of `words`.
pub(crate) fn one_of(description: &str, words: &[&str]) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(words.iter().copied()))
        .build()
}
