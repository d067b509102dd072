//! The system that is harmed: servers and services of its own, every link by way of a proxy.

use std::ffi::OsString;
use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use rustix::process::Signal;
use secrecy::{ExposeSecret, SecretString};
use taskmaster_broker::BrokerConfig;
use taskmaster_embedded::{Guard, Postgres, PostgresConfig, RabbitMq, RabbitMqConfig, start_both};
use taskmaster_store::{PgPool, StoreConfig};
use tempfile::TempDir;
use uuid::Uuid;

use crate::member::Member;
use crate::output_disk::OutputDisk;
use crate::proxy::Proxy;

/// How many of each there are.
const COORDINATORS: usize = 2;
const APIS: usize = 2;
const WORKERS: usize = 4;
/// How many tasks each worker runs at once.
const SLOTS: u32 = 16;
/// How long a worker may be silent.
pub(crate) const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(4);

/// What the variables of a command are called that tell it where to write what it does, and whose it is.
pub(crate) const LEDGER: &str = "CHAOS_LEDGER";
pub(crate) const COOKIE: &str = "CHAOS_RUN";

/// A service with its links.
pub(crate) struct Node {
    pub(crate) process: Member,
    pub(crate) to_postgres: Proxy,
    pub(crate) to_rabbitmq: Proxy,
}

/// An API: a service, and the link by which clients reach it.
pub(crate) struct Api {
    pub(crate) node: Node,
    pub(crate) from_clients: Proxy,
}

/// See the module.
pub(crate) struct System {
    pub(crate) postgres: Postgres,
    pub(crate) rabbitmq: RabbitMq,
    pub(crate) coordinators: Vec<Node>,
    pub(crate) apis: Vec<Api>,
    pub(crate) workers: Vec<Node>,
    /// Straight to Postgres, for whoever checks.
    pub(crate) store: StoreConfig,
    pub(crate) pool: PgPool,
    /// For whoever submits over AMQP.
    pub(crate) producer: BrokerConfig,
    pub(crate) from_producers: Proxy,
    /// Straight to RabbitMQ, for whoever harms it.
    pub(crate) broker: BrokerConfig,
    pub(crate) cookie: String,
    pub(crate) folder: PathBuf,
    /// Where output is stored, if that can be filled.
    pub(crate) output_disk: Option<OutputDisk>,
    // Last: everything else is in it.
    temporary: Option<TempDir>,
}

impl System {
    /// Starts the servers in `folder`, or in a temporary one, and prepares the services. `guard` ends the servers with
    /// us; `program` is the executable under test.
    ///
    /// # Errors
    /// What could not be started, and what to do.
    pub(crate) async fn start(folder: Option<&Path>, program: &Path, guard: Guard) -> Result<Self> {
        let (folder, temporary) = match folder {
            Some(folder) => (folder.to_owned(), None),
            None => {
                // Postgres runs as another user when we are root: it has to reach its folder.
                let temporary = tempfile::Builder::new()
                    .prefix("taskmaster-chaos-")
                    .permissions(Permissions::from_mode(0o755))
                    .tempdir()?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let is_used = std::fs::read_dir(&folder)?.next().is_some();
        ensure!(
            !is_used,
            "{} is not empty: choose a folder of its own for --data-dir",
            folder.display()
        );
        let mut postgres = PostgresConfig::new(folder.join("postgres"));
        postgres.guard = guard.clone();
        let mut rabbitmq = RabbitMqConfig::new(folder.join("rabbitmq"));
        rabbitmq.guard = guard;
        let (postgres, rabbitmq) = start_both(postgres, rabbitmq).await?;
        let store = StoreConfig::new(postgres.url(), 4);
        let pool = store.pool()?;
        taskmaster_store::migrate(&pool).await?;
        let broker = BrokerConfig::new(rabbitmq.url(), "taskmaster")?;
        let from_producers = Proxy::to(local(rabbitmq.port())).await?;
        let producer = by_way_of(&rabbitmq.url(), &from_producers)?;
        let producer = BrokerConfig::new(producer, "taskmaster")?;

        let mut system = Self {
            postgres,
            rabbitmq,
            coordinators: Vec::new(),
            apis: Vec::new(),
            workers: Vec::new(),
            store,
            pool,
            producer,
            from_producers,
            broker,
            cookie: Uuid::now_v7().to_string(),
            folder,
            output_disk: None,
            temporary,
        };
        for number in 1..=COORDINATORS {
            let name = format!("coordinator-{number}");
            let node = system.node(&name, program, &["coordinator"]).await?;
            system.coordinators.push(node);
        }
        for number in 1..=APIS {
            let listen = free_address()?;
            let arguments = ["api", "--listen", &listen.to_string()];
            let node = system
                .node(&format!("api-{number}"), program, &arguments)
                .await?;
            let from_clients = Proxy::to(listen).await?;
            system.apis.push(Api { node, from_clients });
        }
        for number in 1..=WORKERS {
            let name = format!("worker-{number}");
            let arguments = [
                "worker",
                "--name",
                &name,
                "--slots",
                &SLOTS.to_string(),
                "--heartbeat-timeout",
                &HEARTBEAT_TIMEOUT.as_secs().to_string(),
                "--kill-grace",
                "1",
            ];
            let node = system.node(&name, program, &arguments).await?;
            system.workers.push(node);
        }
        for process in system.processes() {
            process.start()?;
        }
        Ok(system)
    }

    async fn node(&self, name: &str, program: &Path, arguments: &[&str]) -> Result<Node> {
        let to_postgres = Proxy::to(local(self.postgres.port())).await?;
        let to_rabbitmq = Proxy::to(local(self.rabbitmq.port())).await?;
        let database_url = by_way_of(&self.postgres.url(), &to_postgres)?;
        let amqp_url = by_way_of(&self.rabbitmq.url(), &to_rabbitmq)?;
        let envs: Vec<(OsString, OsString)> = vec![
            ("DATABASE_URL".into(), database_url.into()),
            ("AMQP_URL".into(), amqp_url.into()),
            (
                "TASKMASTER_PARENT_PID".into(),
                std::process::id().to_string().into(),
            ),
            (LEDGER.into(), self.ledger().into()),
            (COOKIE.into(), self.cookie.clone().into()),
        ];
        let process = Member::new(name, program, arguments, envs, &self.folder);
        Ok(Node {
            process,
            to_postgres,
            to_rabbitmq,
        })
    }

    /// Lets Postgres store output on a small disk of its own.
    ///
    /// # Errors
    /// When this process may not mount one.
    pub(crate) async fn mount_output_disk(&mut self) -> Result<()> {
        self.output_disk = Some(OutputDisk::mount(&self.folder, &self.pool).await?);
        Ok(())
    }

    /// Leaves the folder with all logs where it is.
    pub(crate) fn keep_folder(&mut self) -> &Path {
        drop(self.temporary.take().map(TempDir::keep));
        &self.folder
    }

    /// Every link.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Proxy> {
        let apis = self.apis.iter().map(|api| &api.node);
        let nodes = self.coordinators.iter().chain(apis).chain(&self.workers);
        nodes
            .flat_map(|node| [&node.to_postgres, &node.to_rabbitmq])
            .chain(self.apis.iter().map(|api| &api.from_clients))
            .chain([&self.from_producers])
    }

    /// Where commands write what they do.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// Every service.
    pub(crate) fn processes(&mut self) -> impl Iterator<Item = &mut Member> {
        let apis = self.apis.iter_mut().map(|api| &mut api.node);
        self.coordinators
            .iter_mut()
            .chain(apis)
            .chain(&mut self.workers)
            .map(|node| &mut node.process)
    }

    /// Where clients reach the APIs.
    pub(crate) fn api_urls(&self) -> Vec<String> {
        let url = |api: &Api| format!("http://{}", api.from_clients.address());
        self.apis.iter().map(url).collect()
    }

    /// The coordinator that leads, by what it last said of that.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.coordinators.iter().position(|node| {
            let said = node.process.said();
            match (said.rfind(": leads"), said.rfind("no longer leads")) {
                (Some(_), None) => true,
                (Some(leads), Some(no_longer)) => leads > no_longer,
                (None, _) => false,
            }
        })
    }

    /// Stops everything in order: workers drain, then the others, then the servers. Returns who did not end well.
    pub(crate) async fn stop(&mut self) -> Vec<String> {
        let mut bad = Vec::new();
        for node in self.workers.iter_mut() {
            // All at once; each is waited for below.
            node.process.signal(Signal::TERM).ok();
        }
        for process in self.processes() {
            let ended = tokio::time::timeout(Duration::from_secs(60), process.end(Signal::TERM));
            match ended.await {
                Ok(Ok(status)) if status.success() => {}
                Ok(Ok(status)) => bad.push(format!("{} ended with {status}", process.name())),
                Ok(Err(error)) => bad.push(format!("{error:#}")),
                Err(_) => bad.push(format!("{} did not end when asked to", process.name())),
            }
        }
        self.pool.close().await;
        self.rabbitmq.stop().await;
        self.postgres
            .stop(taskmaster_embedded::StopMode::Fast)
            .await;
        bad
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// An address on which nobody listens: the same from start to start of the one who will.
fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn by_way_of(url: &SecretString, proxy: &Proxy) -> Result<String> {
    let mut url: Url = url.expose_secret().parse()?;
    let address = proxy.address();
    url.set_port(Some(address.port()))
        .ok()
        .context("an address without a port")?;
    Ok(url.into())
}
