//! A private Postgres: its folder, its start and its end.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    find::{self, Places},
    folder::{self, Folder},
    guard::Guard,
    log::{self, Log},
    orphan, port, probe,
    process::Process,
};

mod cluster;
#[cfg(test)]
mod tests;

const WHAT: &str = "PostgreSQL";
const DATA: &str = "data";
const PID: &str = "postgres.pid";
const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// How safe the data is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Every commit reaches the disk.
    #[default]
    Durable,
    /// For tests: nothing waits for the disk. A crash of the machine (not of Postgres) may ruin the data.
    Throwaway,
}

/// How to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Ends connections, writes everything, and goes: the next start needs no recovery.
    Fast,
    /// Goes at once, as in a crash: the next start recovers from the log.
    Immediate,
}

/// What to start.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// A folder for this server alone; made when it is not there. Postgres's own data is in `data`, its log is `postgres.log`.
    pub data_dir: PathBuf,
    /// The port on 127.0.0.1; unless told, the last one if it is free, else any that is.
    pub port: Option<u16>,
    /// How safe the data is.
    pub durability: Durability,
    /// More settings, as in `postgresql.conf`; they win over ours.
    pub settings: Vec<(String, String)>,
    /// Postgres's `bin` folder; unless told, it is looked for.
    pub bin_dir: Option<PathBuf>,
    /// What ends the server when we are killed.
    pub guard: Guard,
}

impl PostgresConfig {
    /// A durable server in this folder, on a port of its own. `TASKMASTER_POSTGRES_BIN` is read here.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: None,
            durability: Durability::default(),
            settings: Vec::new(),
            bin_dir: find::from_env(find::POSTGRES_BIN),
            guard: Guard::default(),
        }
    }
}

/// What is kept from one start to the next.
#[derive(Deserialize, Serialize)]
struct State {
    password: String,
    port: Option<u16>,
}

/// A running Postgres of ours. Dropped, it is told to stop, without waiting for its end; better call [`stop`](Self::stop).
#[derive(Debug)]
pub struct Postgres {
    config: PostgresConfig,
    folder: Folder,
    bin: PathBuf,
    password: String,
    port: u16,
    log: Log,
    process: Mutex<Option<Arc<Process>>>,
    /// One start or stop at a time.
    turn: tokio::sync::Mutex<()>,
}

impl Postgres {
    /// Starts it, and returns when it takes connections. On the first start the data is made, with the database `taskmaster`.
    ///
    /// # Errors
    ///
    /// See [`Error`]; each says what to do.
    pub async fn start(config: PostgresConfig) -> Result<Self, Error> {
        let candidates = Places::here().postgres(config.bin_dir.as_deref())?;
        let folder = Folder::open(WHAT, &config.data_dir, "postgres", DATA)?;
        let bin = choose_bin(candidates, &folder)?;
        let log = Log::open(folder.join("postgres.log")).map_err(Error::io("its log"))?;
        orphan::end(&folder.join(PID), Signal::INT).await;

        let mut state = folder.state::<State>()?.unwrap_or_else(|| State {
            password: folder::password(),
            port: None,
        });
        let mut server = Self {
            port: pick_port(config.port, state.port)?,
            password: state.password.clone(),
            config,
            folder,
            bin,
            log,
            process: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        };
        server.folder.keep(&state)?;
        if !server.folder.join(DATA).join("PG_VERSION").exists() {
            server.make_cluster().await?;
        }
        loop {
            match server.launch().await {
                // Someone took it between our look and Postgres's.
                Err(Error::PortTaken { .. }) if server.config.port.is_none() => {
                    server.port = pick_port(None, None)?;
                }
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        state.port = Some(server.port);
        server.folder.keep(&state)?;
        Ok(server)
    }

    /// How to connect: `postgres://taskmaster:…@127.0.0.1:port/taskmaster`. The user may do everything.
    pub fn url(&self) -> SecretString {
        let (password, port) = (&self.password, self.port);
        format!("postgres://taskmaster:{password}@127.0.0.1:{port}/taskmaster").into()
    }

    /// The port on 127.0.0.1; it stays the same over [`restart`](Self::restart).
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's process; `None` while it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.running().map(|process| process.pid())
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        self.log.path()
    }

    /// Resolves when the server that runs now has ended, in whatever way; at once when none runs.
    pub fn exited(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        let exit = self.current().map(|process| process.exited());
        async move {
            match exit {
                Some(exit) => exit.await,
                None => ExitStatus::default(),
            }
        }
    }

    /// Stops it and waits for its end. Does nothing when it does not run.
    pub async fn stop(&self, mode: StopMode) {
        let _turn = self.turn.lock().await;
        let signal = match mode {
            StopMode::Fast => Signal::INT,
            StopMode::Immediate => Signal::QUIT,
        };
        self.end(signal).await;
    }

    /// Kills it with SIGKILL and waits for its end, as a crash would.
    pub async fn kill(&self) {
        let _turn = self.turn.lock().await;
        self.end(Signal::KILL).await;
    }

    /// Starts it again on the same port and data; stops it first (fast) when it runs.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&self) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.end(Signal::INT).await;
        self.launch().await
    }

    async fn end(&self, signal: Signal) {
        if let Some(process) = self.running() {
            process.end(signal, STOP_PATIENCE).await;
        }
    }

    /// Starts the server on its made data and waits until it is ready.
    async fn launch(&self) -> Result<(), Error> {
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            match self.launch_once(deadline).await {
                // After a crash the old server's backends need a moment to notice; Postgres waits for no one.
                Err(Error::Exited { tail, .. })
                    if tail.contains("pre-existing shared memory block")
                        && Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(Error::Exited { tail, .. }) if tail.contains("Address already in use") => {
                    return Err(Error::PortTaken {
                        what: WHAT,
                        port: self.port,
                    });
                }
                other => return other,
            }
        }
    }

    async fn launch_once(&self, deadline: Instant) -> Result<(), Error> {
        cluster::forget_stale_pid(&self.folder.join(DATA));
        let (mut command, begin) = self.folder.command(
            &self.config.guard,
            Signal::INT,
            &self.bin.join("postgres"),
            &self.log,
        )?;
        command.args(cluster::arguments(&self.config, self.port));
        let process = Process::spawn(command, self.folder.join(PID), Signal::INT)
            .await
            .map_err(Error::io("starting postgres"))?;
        let process = Arc::new(process);
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&process));
        let tail = || log::tail(&self.log.since(begin));
        tokio::select! {
            () = self.ready(process.pid()) => Ok(()),
            status = process.exited() => Err(Error::Exited {
                what: WHAT,
                status,
                tail: tail(),
                log: self.log.path().to_owned(),
            }),
            () = tokio::time::sleep_until(deadline.into()) => {
                process.end(Signal::QUIT, STOP_PATIENCE).await;
                Err(Error::NotReady {
                    what: WHAT,
                    after: START_PATIENCE,
                    tail: tail(),
                    log: self.log.path().to_owned(),
                })
            }
        }
    }

    /// Resolves when our server takes connections: its own pid file says so (another server might answer on the port), and it answers.
    async fn ready(&self, pid: u32) {
        let mut tick = tokio::time::interval(Duration::from_millis(25));
        loop {
            tick.tick().await;
            if cluster::says_ready(&self.folder.join(DATA), pid) && probe::postgres(self.port).await
            {
                return;
            }
        }
    }

    fn current(&self) -> Option<Arc<Process>> {
        self.process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn running(&self) -> Option<Arc<Process>> {
        self.current().filter(|process| process.runs())
    }
}

fn pick_port(wanted: Option<u16>, last: Option<u16>) -> Result<u16, Error> {
    match wanted {
        Some(port) if port::is_free(port) => Ok(port),
        Some(port) => Err(Error::PortTaken { what: WHAT, port }),
        None => port::choose(last).map_err(Error::io("looking for a free port")),
    }
}

/// The version that made the data, where there is data: another one cannot read it.
fn choose_bin(candidates: Vec<PathBuf>, folder: &Folder) -> Result<PathBuf, Error> {
    let made_by = fs::read_to_string(folder.join(DATA).join("PG_VERSION")).ok();
    let mut installed = Vec::new();
    for bin in candidates {
        let Some(made_by) = &made_by else {
            return Ok(bin);
        };
        let version = find::postgres_version(&bin).unwrap_or_default();
        if version == made_by.trim() {
            return Ok(bin);
        }
        installed.push(version);
    }
    Err(Error::Version {
        folder: folder.path().to_owned(),
        data: made_by.unwrap_or_default().trim().to_owned(),
        installed: installed.join(", "),
    })
}
