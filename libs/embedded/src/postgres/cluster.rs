//! Postgres's data folder (a "cluster" in its own words): how it is made, what it is started with, and its pid file.

use std::{fs, path::Path};

use rustix::process::Signal;

use super::{DATA, Durability, PID, Postgres, PostgresConfig};
use crate::{error::Error, log, process::Process};

/// Made here, and named `data` only when it is complete: a start that is cut off leaves nothing half-made behind.
const NEW: &str = "data.new";
const PASSWORD: &str = "password";
const CREATE: &str = "create-database.sql";

impl Postgres {
    /// Makes the data, with the user and the database `taskmaster`.
    pub(super) async fn make_cluster(&self) -> Result<(), Error> {
        let new = self.folder.join(NEW);
        if new.exists() {
            fs::remove_dir_all(&new).map_err(Error::io(format!("removing {}", new.display())))?;
        }
        self.folder.write(PASSWORD, &self.password)?;
        let throwaway = self.config.durability == Durability::Throwaway;
        let mut args = vec!["-D", NEW, "-U", "taskmaster", "--pwfile", PASSWORD];
        args.extend(["--auth=scram-sha-256", "--encoding=UTF8"]);
        args.push(if cfg!(target_os = "macos") {
            "--locale=C"
        } else {
            "--locale=C.UTF-8"
        });
        args.extend(throwaway.then_some("--no-sync"));
        self.tool("initdb", "initdb", &args, None).await?;

        // Single-user mode reads statements from its standard input, needs no port, and is gone afterwards.
        self.folder.write(CREATE, "create database taskmaster\n")?;
        let mut args = vec!["--single", "-D", NEW];
        args.extend(throwaway.then_some("-F"));
        args.push("postgres");
        self.tool("postgres", "postgres --single", &args, Some(CREATE))
            .await?;

        for done in [PASSWORD, CREATE] {
            fs::remove_file(self.folder.join(done))
                .map_err(Error::io(format!("removing {done}")))?;
        }
        fs::rename(&new, self.folder.join(DATA)).map_err(Error::io("naming the data folder"))
    }

    /// Runs one of Postgres's programs to its end, in our folder.
    async fn tool(
        &self,
        program: &str,
        what: &'static str,
        args: &[&str],
        input: Option<&str>,
    ) -> Result<(), Error> {
        let (mut command, begin) = self.folder.command(
            &self.config.guard,
            Signal::KILL,
            &self.bin.join(program),
            &self.log,
        )?;
        command.args(args);
        if let Some(input) = input {
            let file = fs::File::open(self.folder.join(input));
            command.stdin(file.map_err(Error::io(format!("opening {input}")))?);
        }
        let process = Process::spawn(command, self.folder.join(PID), Signal::KILL)
            .await
            .map_err(Error::io(format!("starting {what}")))?;
        let status = process.exited().await;
        if status.success() {
            return Ok(());
        }
        Err(Error::Exited {
            what,
            status,
            tail: log::tail(&self.log.since(begin)),
            log: self.log.path().to_owned(),
        })
    }
}

/// What the server is started with. On the command line, so that neither an older start's file nor `alter system` interferes.
pub(super) fn arguments(config: &PostgresConfig, port: u16) -> Vec<String> {
    let port = port.to_string();
    let mut settings = vec![
        ("listen_addresses", "127.0.0.1"),
        ("port", port.as_str()),
        // None: their paths are limited to 107 bytes, and nobody needs them.
        ("unix_socket_directories", ""),
        ("max_connections", "300"),
        ("shared_buffers", "128MB"),
        ("max_wal_size", "2GB"),
        // Else, after a quiet hour, the first commits of the next load make new files of 16 MB, one after the other.
        ("min_wal_size", "1GB"),
        ("logging_collector", "off"),
        ("log_line_prefix", "%m [%p] "),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
    ];
    if config.durability == Durability::Throwaway {
        settings.extend([
            // Commits still reach the system before they are answered, so that a crash of Postgres alone loses none.
            ("fsync", "off"),
            ("full_page_writes", "off"),
            ("wal_level", "minimal"),
            ("max_wal_senders", "0"),
        ]);
    }
    let theirs = config
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut arguments = vec!["-D".to_owned(), DATA.to_owned()];
    for (name, value) in settings.into_iter().chain(theirs) {
        arguments.push("-c".to_owned());
        arguments.push(format!("{name}={value}"));
    }
    arguments
}

/// Whether the server `pid` has written into its pid file that it takes connections (its eighth line, as `pg_ctl` reads it).
pub(super) fn says_ready(data: &Path, pid: u32) -> bool {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let mut lines = text.lines();
    lines
        .next()
        .is_some_and(|line| line.trim() == pid.to_string())
        && lines.nth(6).is_some_and(|line| line.trim() == "ready")
}

/// Removes a crashed server's pid file when its pid belongs to some other program by now: Postgres would take that for a
/// running server and refuse to start. A dead pid it sorts out itself, and so it does with one whose program cannot be told.
pub(super) fn forget_stale_pid(data: &Path) {
    let file = data.join("postmaster.pid");
    let Some(pid) = fs::read_to_string(&file)
        .ok()
        .and_then(|text| text.lines().next()?.trim().parse::<u32>().ok())
    else {
        return;
    };
    // A server's working folder is its data folder.
    let (Ok(its), Ok(ours)) = (
        fs::read_link(format!("/proc/{pid}/cwd")),
        fs::canonicalize(data),
    ) else {
        return;
    };
    if its != ours {
        tracing::warn!(file = %file.display(), process.pid = pid, "removing a stale pid file: that process is another program");
        fs::remove_file(&file).ok();
    }
}
