//! A private RabbitMQ node: its folder, its start and its end.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rand::distr::{Alphanumeric, SampleString};
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

mod node;

const WHAT: &str = "RabbitMQ";
const DATA: &str = "mnesia";
const PID: &str = "rabbitmq.pid";
const EPMD_PID: &str = "epmd.pid";
const USER: &str = "taskmaster";
const START_PATIENCE: Duration = Duration::from_secs(60);
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// What to start.
#[derive(Clone, Debug)]
pub struct RabbitMqConfig {
    /// A folder for this node alone; made when it is not there. RabbitMQ's own data is in `mnesia`, its log is `rabbitmq.log`.
    pub data_dir: PathBuf,
    /// The AMQP port on 127.0.0.1; unless told, the last one if it is free, else any that is.
    pub port: Option<u16>,
    /// More settings, as in `rabbitmq.conf`; they win over ours.
    pub settings: Vec<(String, String)>,
    /// RabbitMQ's `rabbitmq-server` script; unless told, it is looked for.
    pub server: Option<PathBuf>,
    /// What ends the node when we are killed.
    pub guard: Guard,
}

impl RabbitMqConfig {
    /// A node in this folder, on a port of its own. `TASKMASTER_RABBITMQ_SERVER` is read here.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            port: None,
            settings: Vec::new(),
            server: find::from_env(find::RABBITMQ_SERVER),
            guard: Guard::default(),
        }
    }
}

/// What is kept from one start to the next.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct State {
    password: String,
    /// The data belongs to this name: a node of another name would not find it.
    node: String,
    ports: Option<Ports>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Ports {
    amqp: u16,
    distribution: u16,
    epmd: u16,
}

/// A running RabbitMQ node of ours. Dropped, it is told to stop, without waiting for its end; better call [`stop`](Self::stop).
#[derive(Debug)]
pub struct RabbitMq {
    config: RabbitMqConfig,
    folder: Folder,
    server: PathBuf,
    epmd_program: PathBuf,
    state: State,
    ports: Ports,
    log: Log,
    /// Declared before `epmd`, and so told to stop before it.
    process: Mutex<Option<Arc<Process>>>,
    epmd: Mutex<Option<Arc<Process>>>,
    /// One start or stop at a time.
    turn: tokio::sync::Mutex<()>,
}

impl RabbitMq {
    /// Starts it, and returns when it lets our user in.
    ///
    /// # Errors
    ///
    /// See [`Error`]; each says what to do.
    pub async fn start(config: RabbitMqConfig) -> Result<Self, Error> {
        let places = Places::here();
        let server = places.rabbitmq(config.server.as_deref())?;
        let epmd_program = places.epmd()?;
        let folder = Folder::open(WHAT, &config.data_dir, "rabbitmq", DATA)?;
        let log = Log::open(folder.join("rabbitmq.log")).map_err(Error::io("its log"))?;
        orphan::end(&folder.join(PID), Signal::TERM).await;
        orphan::end(&folder.join(EPMD_PID), Signal::KILL).await;

        let state = folder.state::<State>()?.unwrap_or_else(|| State {
            password: folder::password(),
            node: format!("taskmaster-{}@localhost", suffix()),
            ports: None,
        });
        // Kept before the first start: the data will belong to this name.
        folder.keep(&state)?;
        let mut node = Self {
            ports: pick_ports(config.port, state.ports)?,
            config,
            folder,
            server,
            epmd_program,
            state,
            log,
            process: Mutex::new(None),
            epmd: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        };
        loop {
            match node.launch().await {
                // Someone took one of them between our look and RabbitMQ's.
                Err(Error::PortTaken { .. }) if node.config.port.is_none() => {
                    node.end(Signal::KILL).await;
                    node.end_epmd().await;
                    node.ports = pick_ports(None, None)?;
                }
                Err(error) => {
                    node.end_epmd().await;
                    return Err(error);
                }
                Ok(()) => break,
            }
        }
        node.state.ports = Some(node.ports);
        node.folder.keep(&node.state)?;
        Ok(node)
    }

    /// How to connect: `amqp://taskmaster:…@127.0.0.1:port/%2f`. The user may do everything; there is no `guest`.
    pub fn url(&self) -> SecretString {
        let (password, port) = (&self.state.password, self.ports.amqp);
        format!("amqp://{USER}:{password}@127.0.0.1:{port}/%2f").into()
    }

    /// The AMQP port on 127.0.0.1; it stays the same over [`restart`](Self::restart).
    pub fn port(&self) -> u16 {
        self.ports.amqp
    }

    /// The node's process; `None` while it does not run.
    pub fn pid(&self) -> Option<u32> {
        running(&self.process).map(|process| process.pid())
    }

    /// The process of Erlang's port mapper, which stays over [`kill`](Self::kill) and ends with [`stop`](Self::stop).
    pub fn epmd_pid(&self) -> Option<u32> {
        running(&self.epmd).map(|process| process.pid())
    }

    /// Its log.
    pub fn log(&self) -> &Path {
        self.log.path()
    }

    /// Resolves when the node that runs now has ended, in whatever way; at once when none runs.
    pub fn exited(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        let exit = current(&self.process).map(|process| process.exited());
        async move {
            match exit {
                Some(exit) => exit.await,
                None => ExitStatus::default(),
            }
        }
    }

    /// Stops it, with its port mapper, and waits for their end. Does nothing when it does not run.
    pub async fn stop(&self) {
        let _turn = self.turn.lock().await;
        self.end(Signal::TERM).await;
        self.end_epmd().await;
    }

    /// Kills the node with SIGKILL and waits for its end, as a crash would.
    pub async fn kill(&self) {
        let _turn = self.turn.lock().await;
        self.end(Signal::KILL).await;
    }

    /// Kills the node and removes everything that it has stored: queues, messages, users. The next
    /// [`restart`](Self::restart) begins with an empty RabbitMQ that knows our user, as after the loss of its disk.
    ///
    /// # Errors
    ///
    /// When its data cannot be removed.
    pub async fn wipe(&self) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.end(Signal::KILL).await;
        std::fs::remove_dir_all(self.folder.join(DATA)).map_err(Error::io("removing its data"))
    }

    /// Starts it again on the same port and data; stops it first when it runs.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&self) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.end(Signal::TERM).await;
        self.launch().await
    }

    async fn end(&self, signal: Signal) {
        if let Some(process) = running(&self.process) {
            process.end(signal, STOP_PATIENCE).await;
        }
    }

    async fn end_epmd(&self) {
        if let Some(epmd) = running(&self.epmd) {
            epmd.end(Signal::KILL, STOP_PATIENCE).await;
        }
    }

    async fn launch(&self) -> Result<(), Error> {
        let deadline = Instant::now() + START_PATIENCE;
        self.launch_epmd().await?;
        let (command, begin) = self.node_command()?;
        let process = Process::spawn(command, self.folder.join(PID), Signal::TERM)
            .await
            .map_err(Error::io("starting rabbitmq-server"))?;
        let process = Arc::new(process);
        set(&self.process, &process);
        let written = || self.log.since(begin);
        tokio::select! {
            () = self.ready() => Ok(()),
            status = process.exited() => {
                let written = written();
                if written.contains("eaddrinuse") || written.contains("address already in use") {
                    return Err(Error::PortTaken { what: WHAT, port: self.ports.amqp });
                }
                Err(Error::Exited { what: WHAT, status, tail: log::tail(&written), log: self.log.path().to_owned() })
            }
            () = tokio::time::sleep_until(deadline.into()) => {
                process.end(Signal::KILL, STOP_PATIENCE).await;
                Err(Error::NotReady { what: WHAT, after: START_PATIENCE, tail: log::tail(&written()), log: self.log.path().to_owned() })
            }
        }
    }

    /// The node's own port mapper, on a port of its own: the system's, on 4369, is never used, nor left behind.
    async fn launch_epmd(&self) -> Result<(), Error> {
        if running(&self.epmd).is_some() {
            return Ok(());
        }
        let (command, _) = self.epmd_command()?;
        let epmd = Process::spawn(command, self.folder.join(EPMD_PID), Signal::KILL)
            .await
            .map_err(Error::io("starting epmd"))?;
        let epmd = Arc::new(epmd);
        set(&self.epmd, &epmd);
        tokio::select! {
            () = probe::listening(self.ports.epmd) => Ok(()),
            // It has no other reason to end here.
            _ = epmd.exited() => Err(Error::PortTaken { what: "epmd", port: self.ports.epmd }),
        }
    }

    async fn ready(&self) {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        loop {
            tick.tick().await;
            if probe::rabbitmq(self.ports.amqp, USER, &self.state.password).await {
                return;
            }
        }
    }
}

fn current(process: &Mutex<Option<Arc<Process>>>) -> Option<Arc<Process>> {
    process
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

fn running(process: &Mutex<Option<Arc<Process>>>) -> Option<Arc<Process>> {
    current(process).filter(|process| process.runs())
}

fn set(slot: &Mutex<Option<Arc<Process>>>, process: &Arc<Process>) {
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(process));
}

fn pick_ports(amqp: Option<u16>, last: Option<Ports>) -> Result<Ports, Error> {
    let choose =
        |last: Option<u16>| port::choose(last).map_err(Error::io("looking for a free port"));
    let amqp = match amqp {
        Some(port) if port::is_free(port) => port,
        Some(port) => return Err(Error::PortTaken { what: WHAT, port }),
        None => choose(last.map(|last| last.amqp))?,
    };
    let ports = Ports {
        amqp,
        distribution: choose(last.map(|last| last.distribution))?,
        epmd: choose(last.map(|last| last.epmd))?,
    };
    // Nothing holds them yet, so that one may have been chosen twice.
    if ports.amqp == ports.distribution
        || ports.epmd == ports.amqp
        || ports.epmd == ports.distribution
    {
        return pick_ports(Some(amqp), None);
    }
    Ok(ports)
}

fn suffix() -> String {
    Alphanumeric
        .sample_string(&mut rand::rng(), 10)
        .to_ascii_lowercase()
}
