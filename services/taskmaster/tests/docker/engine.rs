//! The engine that the tests run on, asked as a person would: by Docker's own client.

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

/// What `cargo xtask test --only docker` says of the engine and of the images.
pub(crate) fn setting(name: &str) -> Result<String> {
    std::env::var(name)
        .with_context(|| format!("{name} is not set: run `cargo xtask test --only docker`"))
}

/// Where the engine is, as `DOCKER_HOST` names it.
pub(crate) fn host() -> Result<String> {
    setting("TASKMASTER_TEST_DOCKER_HOST")
}

/// Our image, built by the users' Dockerfile.
pub(crate) fn image() -> Result<String> {
    setting("TASKMASTER_TEST_IMAGE")
}

/// A command of Docker's client, not started yet.
pub(crate) fn client(arguments: &[&str]) -> Result<Command> {
    let program = std::env::var("TASKMASTER_TEST_DOCKER").unwrap_or_else(|_| "docker".to_owned());
    let mut command = Command::new(program);
    command.args(arguments).env("DOCKER_HOST", host()?);
    Ok(command)
}

/// Runs Docker's client: what it wrote to standard output.
///
/// # Errors
/// When it does not end with 0: what it wrote to standard error.
pub(crate) async fn docker(arguments: &[&str]) -> Result<String> {
    output(client(arguments)?).await
}

/// Runs a command to its end: what it wrote to standard output.
///
/// # Errors
/// When it does not end with 0: what it wrote to standard error.
pub(crate) async fn output(mut command: Command) -> Result<String> {
    let shown = format!("{:?}", command.as_std());
    let output = command
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot start {shown}"))?;
    ensure!(
        output.status.success(),
        "{shown}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned())
}
