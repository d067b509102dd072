//! The servers for real. Each test has a folder of its own; what it started is gone when it ends.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod owner;
mod postgres;
mod processes;
mod rabbitmq;

use std::{fs, os::unix::fs::PermissionsExt};

use tempfile::TempDir;

/// A folder that the servers' own user can enter, too.
fn folder() -> TempDir {
    tempfile::Builder::new()
        .prefix("taskmaster embedded ")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
}
