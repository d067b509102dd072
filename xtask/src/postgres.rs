//! A throwaway Postgres on a Unix socket, for the time of one command.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::{output, root, run};

/// A running server; dropping it stops it and removes its data.
pub(crate) struct Postgres {
    folder: tempfile::TempDir,
    bin: PathBuf,
}

impl Postgres {
    /// Makes a cluster in a temporary folder and starts it.
    pub(crate) fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("xtask-pg-").tempdir()?;
        let bin = bin()?;
        if is_root()? {
            output(Command::new("chown").arg("postgres").arg(folder.path()))?;
        }
        let postgres = Self { folder, bin };
        output(
            postgres
                .owner("initdb")?
                .args(["-U", "postgres", "-A", "trust", "-E", "UTF8"])
                .args(["--locale=C.UTF-8", "--no-sync", "-D"])
                .arg(postgres.data()),
        )?;
        let options = format!(
            "-c listen_addresses='' -c fsync=off -k {}",
            postgres.path().display()
        );
        run(postgres
            .owner("pg_ctl")?
            .args(["-s", "-w", "-D"])
            .arg(postgres.data())
            .arg("-l")
            .arg(postgres.path().join("log"))
            .arg("-o")
            .arg(options)
            .arg("start"))?;
        Ok(postgres)
    }

    /// How to connect.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://postgres@localhost/postgres?host={}",
            self.path().display()
        )
    }

    /// Applies the migrations in order, each in its transaction.
    pub(crate) fn migrate(&self) -> Result<()> {
        for file in migrations()? {
            let mut psql = Command::new(self.bin.join("psql"));
            psql.args(["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d"])
                .arg(self.url())
                .arg("-f")
                .arg(&file);
            run(psql.env("PGOPTIONS", "-c client_min_messages=warning"))
                .with_context(|| format!("migration {} failed", file.display()))?;
        }
        Ok(())
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    fn owner(&self, program: &str) -> Result<Command> {
        let program = self.bin.join(program);
        let mut command = if is_root()? {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(self.path());
        Ok(command)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stopped = self.owner("pg_ctl").and_then(|mut command| {
            run(command
                .args(["-s", "-w", "-m", "immediate", "-D"])
                .arg(self.data())
                .arg("stop"))
        });
        if let Err(error) = stopped {
            crate::workspace::say(&format!("the throwaway Postgres did not stop: {error:#}"));
        }
    }
}

fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// The newest server's programs.
fn bin() -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .context("no Postgres server is installed: `cargo xtask setup` installs it")?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found
        .pop()
        .context("no Postgres server is installed: `cargo xtask setup` installs it")
}

fn migrations() -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("migrations"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".sql") && !name.ends_with(".down.sql")
        })
        .collect();
    files.sort();
    Ok(files)
}
