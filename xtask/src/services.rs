//! A Postgres and a RabbitMQ for the time of one command, in a temporary folder, on ports of their own.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use secrecy::ExposeSecret;
use taskmaster_embedded::{
    Durability, Postgres, PostgresConfig, RabbitMq, RabbitMqConfig, StopMode, start_both,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::process::find;
use crate::workspace::root;

/// A throwaway Postgres. Stopped when dropped.
pub(crate) struct Database {
    postgres: Postgres,
    runtime: Runtime,
    // Last: the folder goes when nothing writes into it any more.
    _folder: TempDir,
}

impl Database {
    /// Starts it, empty.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn start() -> Result<Self> {
        let (folder, runtime) = (folder()?, runtime()?);
        let postgres = runtime.block_on(Postgres::start(throwaway(folder.path())))?;
        Ok(Self {
            postgres,
            runtime,
            _folder: folder,
        })
    }

    /// How to connect.
    pub(crate) fn url(&self) -> String {
        self.postgres.url().expose_secret().to_owned()
    }

    /// Applies the migrations as SQL files, in order: this must also work while the crate that embeds them does not compile.
    ///
    /// # Errors
    /// When one of them fails.
    pub(crate) fn migrate(&self) -> Result<()> {
        let mut files: Vec<_> = std::fs::read_dir(root().join("migrations"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
            .collect();
        files.sort();
        let psql =
            find("psql").context("there is no psql: it comes with PostgreSQL's client programs")?;
        for file in files {
            let status = Command::new(&psql)
                .args(["--no-psqlrc", "--quiet", "--single-transaction"])
                .args([
                    "--set",
                    "ON_ERROR_STOP=1",
                    "--output",
                    "/dev/null",
                    "--dbname",
                ])
                .arg(self.url())
                .arg("--file")
                .arg(&file)
                .env("PGOPTIONS", "-c client_min_messages=warning")
                .status()
                .context("cannot start psql")?;
            ensure!(status.success(), "migration {} failed", file.display());
        }
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.runtime
            .block_on(self.postgres.stop(StopMode::Immediate));
    }
}

/// A throwaway Postgres and a throwaway RabbitMQ. Stopped when dropped.
pub(crate) struct Services {
    postgres: Postgres,
    rabbitmq: RabbitMq,
    runtime: Runtime,
    _folder: TempDir,
}

impl Services {
    /// Starts both, Postgres from this `bin` folder unless it is to be looked for.
    ///
    /// # Errors
    /// When one does not start.
    pub(crate) fn start(bin: Option<&Path>) -> Result<Self> {
        let (folder, runtime) = (folder()?, runtime()?);
        let rabbitmq = RabbitMqConfig::new(folder.path().join("rabbitmq"));
        let mut postgres = throwaway(folder.path());
        if let Some(bin) = bin {
            postgres.bin_dir = Some(bin.to_owned());
        }
        let (postgres, rabbitmq) = runtime.block_on(start_both(postgres, rabbitmq))?;
        Ok(Self {
            postgres,
            rabbitmq,
            runtime,
            _folder: folder,
        })
    }

    /// How to connect to Postgres.
    pub(crate) fn database_url(&self) -> String {
        self.postgres.url().expose_secret().to_owned()
    }

    /// How to connect to RabbitMQ.
    pub(crate) fn amqp_url(&self) -> String {
        self.rabbitmq.url().expose_secret().to_owned()
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.runtime.block_on(async {
            tokio::join!(
                self.postgres.stop(StopMode::Immediate),
                self.rabbitmq.kill()
            );
            self.rabbitmq.stop().await;
        });
    }
}

fn throwaway(folder: &Path) -> PostgresConfig {
    PostgresConfig {
        durability: Durability::Throwaway,
        ..PostgresConfig::new(folder.join("postgres"))
    }
}

/// Open to the servers' own users: as root, they run as somebody else.
pub(crate) fn folder() -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("taskmaster-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .context("cannot make a temporary folder")
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start a runtime")
}
