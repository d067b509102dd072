//! A compose project of one test's own: its name, its port, its passwords, and an end in any case.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use taskmaster_testkit::{Api, eventually, random_prefix};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::{Instant, timeout};

use crate::engine::{client, docker, host, image, output, setting};

/// How long containers may take to become what a test waits for: RabbitMQ alone needs ten seconds.
const DEADLINE: Duration = Duration::from_secs(150);
/// How long a look at them may be old.
const LOOK: Duration = Duration::from_secs(1);
/// What changes how a container is shown.
const EVENTS: [&str; 6] = [
    "event=create",
    "event=start",
    "event=die",
    "event=stop",
    "event=destroy",
    "event=health_status",
];

/// What Compose gets of the environment of whoever runs the tests.
const KEPT: [&str; 6] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "DOCKER_TLS_VERIFY",
];

/// The two generations of Compose, which share the file and little else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compose {
    /// 1.29, in Python: `docker-compose`.
    V1,
    /// 2 and newer, in Go: `docker compose`.
    V2,
}

impl Compose {
    pub(crate) const BOTH: [Self; 2] = [Self::V1, Self::V2];

    fn program(self) -> Result<String> {
        setting(match self {
            Self::V1 => "TASKMASTER_TEST_COMPOSE_V1",
            Self::V2 => "TASKMASTER_TEST_COMPOSE_V2",
        })
    }
}

/// A container as `docker ps --all` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    /// All 64 digits.
    pub(crate) id: String,
    pub(crate) name: String,
    /// The service of the compose file.
    pub(crate) service: String,
    /// Its number in the service.
    pub(crate) number: u32,
    /// `created`, `running`, `restarting`, `exited`, …
    pub(crate) state: String,
    /// For people: `Up 3 seconds (healthy)`, `Exited (0) 5 seconds ago`.
    pub(crate) status: String,
}

impl Container {
    /// It runs, and its check, if it has one, has passed.
    pub(crate) fn is_well(&self) -> bool {
        let checked = !self.status.contains("(health: starting)");
        self.state == "running" && checked && !self.status.contains("(unhealthy)")
    }
}

/// A project. Taken down with its volumes when this is dropped.
pub(crate) struct Project {
    name: String,
    program: String,
    port: u16,
    api: Api,
    is_down: bool,
    // Has its .env.
    folder: TempDir,
}

impl Project {
    /// A project that Compose knows nothing of yet. `settings` are lines of its `.env`, beside the passwords, the port and
    /// the images.
    ///
    /// # Errors
    /// When `cargo xtask` has not set what is needed.
    pub(crate) fn new(compose: Compose, settings: &[(&str, &str)]) -> Result<Self> {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?
            .local_addr()?
            .port();
        let project = Self {
            // As `cargo xtask` knows them, and removes what a test left that was killed.
            name: format!("taskmaster-{}", random_prefix()),
            program: compose.program()?,
            port,
            api: Api::new(format!("http://127.0.0.1:{port}"))?,
            is_down: false,
            folder: tempfile::tempdir()?,
        };
        let mut lines = vec![
            format!("POSTGRES_PASSWORD={}", random_prefix()),
            format!("RABBITMQ_PASSWORD={}", random_prefix()),
            format!("TASKMASTER_PORT={port}"),
            format!("TASKMASTER_IMAGE={}", image()?),
            // Each test waits until all containers are well.
            "HEALTHCHECK_INTERVAL=5s".to_owned(),
        ];
        // Where the official images could not be pulled: their stand-ins.
        for name in ["POSTGRES_IMAGE", "RABBITMQ_IMAGE"] {
            if let Ok(image) = std::env::var(name) {
                lines.push(format!("{name}={image}"));
            }
        }
        if let Some(socket) = host()?.strip_prefix("unix://") {
            lines.push(format!("DOCKER_SOCKET={socket}"));
        }
        lines.extend(
            settings
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );
        std::fs::write(project.env_file(), lines.join("\n") + "\n")?;
        Ok(project)
    }

    /// Runs `test` on a project with so many workers, all of whose containers are well, takes it down, and makes sure
    /// that nothing of it is left.
    ///
    /// # Errors
    /// When something does not start, the test's own, or what is left; what the containers said is then printed.
    pub(crate) async fn run(
        compose: Compose,
        settings: &[(&str, &str)],
        workers: u32,
        test: impl AsyncFnOnce(&Self) -> Result<()>,
    ) -> Result<()> {
        let project = Self::new(compose, settings)?;
        let result = async {
            project.up(workers).await?;
            test(&project).await
        }
        .await;
        if result.is_err() {
            project.print_logs();
        }
        result?;
        project.finish().await
    }

    /// What Compose puts before the names.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Of this machine's loopback: there the API is.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    /// Runs Compose on the users' file: what it wrote to standard output.
    ///
    /// # Errors
    /// When it does not end with 0: what it wrote to standard error.
    pub(crate) async fn compose(&self, arguments: &[&str]) -> Result<String> {
        output(self.command(arguments)?.into()).await
    }

    /// `docker-compose up -d --scale worker=N` with the image that is there, until all is well and the workers are online.
    ///
    /// # Errors
    /// When it does not come to that.
    pub(crate) async fn up(&self, workers: u32) -> Result<()> {
        let scale = format!("worker={workers}");
        self.compose(&["up", "-d", "--no-build", "--scale", &scale])
            .await?;
        self.until("all containers are well", |containers| {
            let wanted = containers.iter().filter(|container| {
                if container.service == "migrate" {
                    container.status.starts_with("Exited (0)")
                } else {
                    container.is_well()
                }
            });
            !containers.is_empty() && wanted.count() == containers.len()
        })
        .await?;
        self.until_online(workers).await
    }

    /// Waits until the API says that so many workers are online, and no more.
    ///
    /// # Errors
    /// When it has not within a minute.
    pub(crate) async fn until_online(&self, workers: u32) -> Result<()> {
        eventually(&format!("{workers} workers are online"), async || {
            let (status, body) = self.api.get("/api/v1/workers").await?;
            ensure!(status == 200, "{status}: {body}");
            let all = body["workers"].as_array().context("no workers")?;
            let online = all.iter().filter(|worker| worker["status"] != "offline");
            Ok(if online.count() == workers as usize {
                Ok(())
            } else {
                Err(body.to_string())
            })
        })
        .await
    }

    /// Its containers, those that have ended among them, by service and number.
    ///
    /// # Errors
    /// When the engine does not tell.
    pub(crate) async fn containers(&self) -> Result<Vec<Container>> {
        let format = "{{.ID}}\t{{.Names}}\t{{.Label \"com.docker.compose.service\"}}\t\
                      {{.Label \"com.docker.compose.container-number\"}}\t{{.State}}\t{{.Status}}";
        let listed = docker(&[
            "ps",
            "--all",
            "--no-trunc",
            "--filter",
            &self.filter(),
            "--format",
            format,
        ])
        .await?;
        let mut containers = listed
            .lines()
            .map(|line| {
                let fields: Vec<_> = line.split('\t').collect();
                let [id, name, service, number, state, status] = fields[..] else {
                    bail!("docker ps printed {line:?}");
                };
                Ok(Container {
                    id: id.to_owned(),
                    name: name.to_owned(),
                    service: service.to_owned(),
                    number: number
                        .parse()
                        .with_context(|| format!("{name} has no number"))?,
                    state: state.to_owned(),
                    status: status.to_owned(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        containers.sort_by(|a, b| (&a.service, a.number).cmp(&(&b.service, b.number)));
        Ok(containers)
    }

    /// Those of one service, by number.
    ///
    /// # Errors
    /// When the engine does not tell.
    pub(crate) async fn service(&self, service: &str) -> Result<Vec<Container>> {
        let mut containers = self.containers().await?;
        containers.retain(|container| container.service == service);
        Ok(containers)
    }

    /// Waits until the project's containers are so. Looks whenever the engine tells that something happened to one,
    /// and each second.
    ///
    /// # Errors
    /// When they are not in time: how they are instead.
    pub(crate) async fn until(
        &self,
        what: &str,
        mut so: impl FnMut(&[Container]) -> bool,
    ) -> Result<Vec<Container>> {
        let deadline = Instant::now() + DEADLINE;
        // From a little before the first look, so that nothing is missed between the two.
        let mut events = client(&["events", "--since", "5s", "--filter", &self.filter()])?
            // And not each health check that begins and ends.
            .args(EVENTS.iter().flat_map(|event| ["--filter", event]))
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(events.stdout.take().context("no events")?).lines();
        loop {
            let containers = self.containers().await?;
            if so(&containers) {
                return Ok(containers);
            }
            ensure!(
                Instant::now() < deadline,
                "waited {} s until {what}; last seen: {containers:#?}",
                DEADLINE.as_secs()
            );
            // What a test waits for beside the containers comes without an event.
            if let Ok(line) = timeout(LOOK, lines.next_line()).await {
                line?.context("the engine is gone")?;
            }
        }
    }

    /// `docker-compose down -v`, after which nothing of the project may be left.
    ///
    /// # Errors
    /// When something is.
    pub(crate) async fn finish(mut self) -> Result<()> {
        self.compose(&["down", "--volumes"]).await?;
        self.is_down = true;
        let filter = self.filter();
        for list in [&["ps", "--all"][..], &["network", "ls"], &["volume", "ls"]] {
            let arguments = [list, &["--quiet", "--filter", &filter]].concat();
            let left = docker(&arguments).await?;
            ensure!(
                left.is_empty(),
                "docker {} after `down -v`: {left}",
                list.join(" ")
            );
        }
        Ok(())
    }

    /// A command of Compose, not started yet.
    fn command(&self, arguments: &[&str]) -> Result<std::process::Command> {
        let mut command = std::process::Command::new(&self.program);
        command
            .args(["--project-name", &self.name, "--file"])
            .arg(root().join("docker-compose.yml"))
            .arg("--env-file")
            .arg(self.env_file())
            .args(arguments)
            .current_dir(root())
            // The file decides.
            .env_clear()
            .envs(
                KEPT.iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .env("DOCKER_HOST", host()?)
            // 1.29 gives the engine a minute for each answer, which a busy machine may need.
            .env("COMPOSE_HTTP_TIMEOUT", "300")
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Compose reads it in place of the checkout's own.
    pub(crate) fn env_file(&self) -> PathBuf {
        self.folder.path().join(".env")
    }

    fn filter(&self) -> String {
        format!("label=com.docker.compose.project={}", self.name)
    }

    /// For whoever has to find out why a test failed.
    #[expect(
        clippy::print_stderr,
        reason = "a failed test shows what its containers said"
    )]
    fn print_logs(&self) {
        for arguments in [&["ps"][..], &["logs", "--no-color", "--tail", "40"]] {
            if let Ok(Ok(output)) = self.command(arguments).map(|mut command| command.output()) {
                eprintln!("{}", String::from_utf8_lossy(&output.stdout));
            }
        }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if self.is_down {
            return;
        }
        if std::thread::panicking() {
            self.print_logs();
        }
        // At once: nobody needs it any more. A failure is the next run's to clean up.
        self.command(&["down", "--volumes", "--remove-orphans", "--timeout", "0"])
            .and_then(|mut command| Ok(command.output()?))
            .ok();
    }
}

/// The checkout's root.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
