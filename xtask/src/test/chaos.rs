//! A minute of chaos on a system of its own. `cargo xtask chaos` does longer ones, on an optimised build.

use anyhow::Result;

use crate::client;
use crate::process::{cargo, run as run_command};
use crate::workspace::target;

/// # Errors
/// When something was lost, doubled, or run without a committed start.
pub(super) fn run() -> Result<()> {
    client::build()?;
    run_command(cargo().args(["build", "--package", "taskmaster"]))?;
    run_command(
        std::process::Command::new(target().join("debug/taskmaster")).args([
            "chaos",
            "--duration",
            "60s",
            "--rate",
            "50",
        ]),
    )
}
