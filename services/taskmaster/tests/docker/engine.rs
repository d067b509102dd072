//! The engine that the tests run on, asked as a person would: by Docker's own client.

use anyhow::{Context, Result, ensure};
use taskmaster_testkit::random_prefix;
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

/// A container of our image that does nothing, of a project that has nothing else. Removed when this is dropped.
pub(crate) struct Bystander {
    /// All 64 digits.
    pub(crate) id: String,
}

impl Bystander {
    /// Starts one with these labels, beside the one by which `cargo xtask` finds what a test left that was killed.
    ///
    /// # Errors
    /// When the engine does not.
    pub(crate) async fn start(labels: &[&str]) -> Result<Self> {
        let image = image()?;
        let project = format!("com.docker.compose.project=taskmaster-{}", random_prefix());
        let labels = labels.iter().copied().chain([project.as_str()]);
        let labels = labels.flat_map(|label| ["--label", label]);
        let run = ["run", "--detach", "--entrypoint", "sleep"]
            .into_iter()
            .chain(labels);
        let run: Vec<&str> = run.chain([image.as_str(), "600"]).collect();
        let id = docker(&run).await?;
        Ok(Self { id })
    }

    /// The one of a worker that Compose would have made.
    ///
    /// # Errors
    /// When the engine does not start it.
    pub(crate) async fn worker() -> Result<Self> {
        Self::start(&[
            "com.docker.compose.service=worker",
            "com.docker.compose.container-number=1",
            "com.docker.compose.oneoff=False",
        ])
        .await
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        if let Ok(command) = client(&["rm", "--force", &self.id]) {
            command.into_std().output().ok();
        }
    }
}
