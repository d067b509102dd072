//! The whole system for one test: the real executable's services as processes of their own, on a database and names
//! in RabbitMQ of the test's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::database::migrations;
use crate::{Api, PrivateServers, Process, TestDatabase, amqp_url, random_prefix};

/// How long anything may take that a test waits for.
const DEADLINE: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `look` finds what it looks for. It returns that, or what it saw instead.
///
/// # Errors
/// What was seen last, when it was not found within a minute; or the first error of `look`.
pub async fn eventually<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<std::result::Result<T, String>>,
) -> Result<T> {
    let deadline = Instant::now() + DEADLINE;
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        match look().await? {
            Ok(found) => return Ok(found),
            Err(seen) if Instant::now() >= deadline => {
                bail!("waited a minute until {what}; last seen: {seen}")
            }
            Err(_) => {}
        }
    }
}

/// A running system.
pub struct Stack {
    executable: PathBuf,
    prefix: String,
    database_url: String,
    amqp_url: String,
    api: Api,
    /// The processes of the API and the coordinators, in the order in which they were started.
    pub services: Vec<Process>,
    /// The servers, if they are this test's alone.
    pub servers: Option<PrivateServers>,
    pool: PgPool,
    // Last, so that they go when nothing uses them any more.
    _database: Option<TestDatabase>,
    folder: TempDir,
}

impl Stack {
    /// Runs `test` on a system with an API and a coordinator and no worker yet, on the servers that all tests share,
    /// and then makes sure that no task is stranded. `executable` is `taskmaster`.
    ///
    /// # Errors
    /// When something does not start, the test's own, or a stranded task; what the processes said is then printed.
    pub async fn run(
        executable: &str,
        test: impl AsyncFnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let database = TestDatabase::create_empty().await?;
        Self::run_on(executable, database, test).await
    }

    /// The same on a database that is there already, such as one that was restored.
    ///
    /// # Errors
    /// As [`Stack::run`].
    pub async fn run_on(
        executable: &str,
        database: TestDatabase,
        test: impl AsyncFnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let urls = (database.url(), amqp_url()?);
        let folder = tempfile::tempdir()?;
        Self::start(executable, folder, urls, Some(database), None)
            .await?
            .and_finish(test)
            .await
    }

    /// The same on servers of this test's own, which it may stop.
    ///
    /// # Errors
    /// As [`Stack::run`].
    pub async fn run_private(
        executable: &str,
        test: impl AsyncFnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let folder = open_folder()?;
        let servers = PrivateServers::start(folder.path()).await?;
        let urls = (servers.database_url(), servers.amqp_url());
        Self::run_at(executable, folder, servers, urls, test).await
    }

    /// The same on servers that the test has started, with their data in `folder`. `urls` are how to connect to Postgres and
    /// to RabbitMQ.
    ///
    /// # Errors
    /// As [`Stack::run`].
    pub async fn run_at(
        executable: &str,
        folder: TempDir,
        servers: PrivateServers,
        urls: (String, String),
        test: impl AsyncFnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        Self::start(executable, folder, urls, None, Some(servers))
            .await?
            .and_finish(test)
            .await
    }

    async fn and_finish(mut self, test: impl AsyncFnOnce(&mut Self) -> Result<()>) -> Result<()> {
        if let Err(error) = test(&mut self).await {
            self.print_logs();
            return Err(error);
        }
        self.finish().await
    }

    async fn start(
        executable: &str,
        folder: TempDir,
        (database_url, amqp_url): (String, String),
        database: Option<TestDatabase>,
        servers: Option<PrivateServers>,
    ) -> Result<Self> {
        let pool = PgPoolOptions::new()
            .max_connections(2)
            .connect_lazy(&database_url)?;
        let mut stack = Self {
            executable: executable.into(),
            prefix: random_prefix(),
            database_url,
            amqp_url,
            api: Api::new(String::new())?,
            services: Vec::new(),
            servers,
            pool,
            _database: database,
            folder,
        };
        stack.start_coordinator()?;
        stack.start_api().await?;
        Ok(stack)
    }

    /// A command of `taskmaster` for this system, not started yet.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .args(arguments)
            .env("DATABASE_URL", &self.database_url)
            .env("AMQP_URL", &self.amqp_url)
            .env("TASKMASTER_PREFIX", &self.prefix)
            .env("TASKMASTER_API", self.api.base());
        command
    }

    fn spawn(&self, name: &str, arguments: &[&str]) -> Result<Process> {
        Process::spawn(
            self.command(arguments),
            &self.folder.path().join(format!("{name}.log")),
        )
    }

    /// Starts one more coordinator.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_coordinator(&mut self) -> Result<()> {
        self.start_coordinator_with(&[])
    }

    /// The same with options of its own.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_coordinator_with(&mut self, options: &[&str]) -> Result<()> {
        let name = format!("coordinator-{}", self.services.len());
        let arguments = [&["coordinator"], options].concat();
        self.services.push(self.spawn(&name, &arguments)?);
        Ok(())
    }

    /// Ends the coordinator that [`Stack::run`] has started, and starts one with these options in its place: the last of
    /// [`Stack::services`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn replace_coordinator(&mut self, options: &[&str]) -> Result<()> {
        self.services[0].kill().await?;
        self.start_coordinator_with(options)
    }

    async fn start_api(&mut self) -> Result<()> {
        let mut process = self.spawn("api", &["api", "--listen", "127.0.0.1:0"])?;
        let address = eventually("the API listens", async || {
            ensure!(process.is_running()?, "the API ended:\n{}", process.log());
            let log = process.log();
            let address = log
                .split("address=")
                .nth(1)
                .and_then(|rest| rest.split_whitespace().next());
            Ok(address.map(str::to_owned).ok_or(log.clone()))
        })
        .await?;
        self.api = Api::new(format!("http://{address}"))?;
        self.services.push(process);
        let (api, pool) = (&self.api, &self.pool);
        let migrations = migrations().await?.iter().count() as i64;
        eventually("the API is ready", async || {
            let (status, body) = api.get("/readyz").await?;
            if status != 200 {
                return Ok(Err(body.to_string()));
            }
            // The coordinator makes the tables, one migration after the other.
            let (status, body) = api.get("/api/stats").await?;
            if status != 200 {
                return Ok(Err(body.to_string()));
            }
            let done: i64 = sqlx::query_scalar("select count(*) from _sqlx_migrations")
                .fetch_one(pool)
                .await?;
            Ok(if done == migrations {
                Ok(())
            } else {
                Err(format!("{done} of {migrations} migrations"))
            })
        })
        .await
    }

    /// Starts a worker and waits until it is online.
    ///
    /// # Errors
    /// When it does not come online.
    pub async fn worker(&self, name: &str, arguments: &[&str]) -> Result<Process> {
        let arguments: Vec<&str> = ["worker", "--name", name]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let mut process = self.spawn(name, &arguments)?;
        let pid = process.pid().context("it has ended")?;
        eventually(&format!("{name} is online"), async || {
            ensure!(
                process.is_running()?,
                "the worker ended:\n{}",
                process.log()
            );
            let workers = self.workers().await?;
            let online = workers.iter().any(|worker| {
                worker["name"] == name && worker["status"] != "offline" && worker["pid"] == pid
            });
            Ok(if online { Ok(()) } else { Err(process.log()) })
        })
        .await?;
        Ok(process)
    }

    /// The workers as the API shows them.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn workers(&self) -> Result<Vec<serde_json::Value>> {
        let (_, body) = self.api.get("/api/v1/workers").await?;
        Ok(body["workers"].as_array().context("no workers")?.clone())
    }

    /// The API.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// What the names of this system's queues begin with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How to connect to its Postgres.
    #[must_use]
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// How to connect to its RabbitMQ.
    #[must_use]
    pub fn amqp_url(&self) -> &str {
        &self.amqp_url
    }

    /// Its database.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A folder that goes with the system.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The end of a test: everything that was due has reached its end.
    ///
    /// # Errors
    /// When a task is stranded: due, assigned or running although nothing is left to do.
    async fn finish(mut self) -> Result<()> {
        let pool = &self.pool;
        eventually("no task is stranded", async || {
            let stranded: Vec<(String, String)> = sqlx::query_as(
                "select id::text, status from tasks where status <> 'scheduled' or scheduled_at <= now()",
            )
            .fetch_all(pool)
            .await?;
            Ok(if stranded.is_empty() { Ok(()) } else { Err(format!("{stranded:?}")) })
        })
        .await?;
        self.pool.close().await;
        for service in &mut self.services {
            if service.is_running()? {
                service.kill().await?;
            }
        }
        Ok(())
    }
}

impl Stack {
    /// For whoever has to find out why a test failed.
    #[expect(
        clippy::print_stderr,
        reason = "a failed test shows what its processes said"
    )]
    fn print_logs(&self) {
        let Ok(entries) = std::fs::read_dir(self.folder.path()) else {
            return;
        };
        for entry in entries.flatten() {
            if entry
                .path()
                .extension()
                .is_some_and(|extension| extension == "log")
            {
                let log = std::fs::read_to_string(entry.path()).unwrap_or_default();
                eprintln!("--- {}\n{log}", entry.file_name().to_string_lossy());
            }
        }
    }
}

/// A folder for the data of servers: not one that only its owner may enter, because Postgres and RabbitMQ run as other
/// users.
///
/// # Errors
/// When it cannot be made.
pub fn open_folder() -> Result<TempDir> {
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    Ok(tempfile::Builder::new()
        .permissions(open_to_all)
        .tempdir()?)
}
