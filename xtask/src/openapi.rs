//! `cargo xtask openapi`: the committed OpenAPI document and the dashboard's types, made again from the code.

use anyhow::Result;

use crate::client;
use crate::process::{cargo, run};
use crate::workspace;

/// Rewrites `client/openapi.json` and the types that are generated from it.
///
/// # Errors
/// When the api crate or the client's generator fails.
pub(crate) fn run_openapi() -> Result<()> {
    run(cargo()
        .args(["test", "--package", "taskmaster-api", "openapi"])
        .env("UPDATE_OPENAPI", "1"))?;
    client::install(&workspace::client())?;
    client::npm_run("types", &[])
}
