//! What `up` has started so far, so that it can be stopped from any point on.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use secrecy::{ExposeSecret, SecretString};
use taskmaster_api::ApiConfig;
use taskmaster_broker::{BrokerConfig, ControlPublisher};
use taskmaster_coordinator::CoordinatorConfig;
use taskmaster_fleet::{Fleet, Output, ProcessFleet, ProcessFleetConfig};
use taskmaster_runtime::Shutdown;
use taskmaster_store::StoreConfig;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::data_folder::{DataFolder, set_aside};
use super::servers::{Addresses, Servers};
use super::{Args, readiness};
use crate::commands::services::migrate;
use crate::failure::line;
use crate::output::{Terminal, count};

/// Connections to Postgres of the API and of the coordinator.
const CONNECTIONS: u32 = 10;
/// Of each worker, where Postgres is ours: fifty workers must fit.
const WORKER_CONNECTIONS: &str = "5";

/// All that runs.
#[derive(Debug, Default)]
pub(super) struct Running {
    servers: Servers,
    fleet: Option<ProcessFleet>,
    services: JoinSet<(&'static str, anyhow::Result<()>)>,
    stop_api: CancellationToken,
    stop_coordinator: CancellationToken,
}

impl Running {
    /// Starts everything, in order, and returns where the API is when all of it works. What was started when this
    /// fails, or is given up, is left for [`stop`](Self::stop).
    ///
    /// # Errors
    /// One line that says what to do.
    pub(super) async fn start(
        &mut self,
        args: &Args,
        folder: &DataFolder,
        terminal: &mut Terminal,
    ) -> anyhow::Result<String> {
        // The addresses come once the servers run; the port is taken before anything that takes time.
        let mut config = ApiConfig {
            store: StoreConfig::new(SecretString::default(), CONNECTIONS),
            broker: BrokerConfig::new("amqp://127.0.0.1", &args.prefix)?,
            listen: args.listen,
            allowed_hosts: args.allowed_hosts.clone(),
            autoscale_interval: args.autoscale_interval,
            fleet_patience: taskmaster_api::FLEET_PATIENCE,
        };
        let listener = taskmaster_api::bind(&config).await?;
        let address = readiness::reachable(listener.local_addr()?);

        let (database_url, amqp_url) = (given(&args.database_url), given(&args.amqp_url));
        if let Some(url) = &database_url {
            migrate(&StoreConfig::new(url.clone(), 1)).await?;
        }
        if let Some(url) = &amqp_url {
            reach(&BrokerConfig::new(url.clone(), &args.prefix)?).await?;
        }
        let addresses = self
            .servers
            .start(folder.path(), database_url, amqp_url)
            .await?;
        config.store = StoreConfig::new(addresses.database_url.clone(), CONNECTIONS);
        config.broker = BrokerConfig::new(addresses.amqp_url.clone(), &args.prefix)?;
        if self.servers.own_postgres() {
            folder.write_addresses(&addresses.database_url, &addresses.amqp_url)?;
            migrate(&config.store).await?;
        }

        let coordinator = CoordinatorConfig::new(config.store.clone(), config.broker.clone());
        let coordinator = taskmaster_coordinator::run(coordinator, self.stop_coordinator.clone());
        self.services
            .spawn(async { ("coordinator", coordinator.await) });

        terminal.note(format!(
            "starting {} …",
            count(args.workers as usize, "worker")
        ));
        let fleet =
            ProcessFleet::start(self.fleet_config(args, folder, &addresses)?, args.workers).await?;
        self.fleet = Some(fleet.clone());

        let shared = Arc::new(Fleet::Processes(fleet.clone()));
        let api = taskmaster_api::serve(config, listener, shared, self.stop_api.clone());
        self.services.spawn(async { ("API", api.await) });
        let logs = folder.logs()?;
        tokio::select! {
            ready = readiness::wait(address, &fleet, &logs) => ready?,
            // It fails at once where waiting would only tell that something is missing.
            ended = first_end(&mut self.services) => bail!("the {} has ended by itself", ended?),
        }
        Ok(address.to_string())
    }

    /// Waits for a service that ends without being told to; its name.
    ///
    /// # Errors
    /// What it failed with.
    pub(super) async fn first_end(&mut self) -> anyhow::Result<&'static str> {
        first_end(&mut self.services).await
    }

    /// Stops everything that was started, in the order in which nothing is lost, and says each step. When
    /// `shutdown.now` is cancelled meanwhile, workers stop what they run instead of letting it end.
    pub(super) async fn stop(&mut self, shutdown: &Shutdown, terminal: &mut Terminal) {
        if !self.services.is_empty() {
            terminal.note("stopping the API …");
        }
        self.stop_api.cancel();
        if let Some(fleet) = self.fleet.take() {
            let workers = count(fleet.workers().len(), "worker");
            terminal.note(format!(
                "draining {workers} (Ctrl-C again stops their tasks) …"
            ));
            let harder = async {
                shutdown.now.cancelled().await;
                stop_tasks(&fleet).await;
                std::future::pending::<()>().await;
            };
            tokio::select! { () = fleet.shutdown() => {}, () = harder => {} }
        }
        self.stop_coordinator.cancel();
        while let Some(ended) = self.services.join_next().await {
            match ended {
                Ok((_, Ok(()))) => {}
                Ok((service, Err(error))) => {
                    tracing::error!(error = format!("{error:#}"), "the {service} failed")
                }
                Err(error) => tracing::error!(%error, "a service panicked"),
            }
        }
        self.servers.stop(&shutdown.now, terminal).await;
    }

    fn fleet_config(
        &self,
        args: &Args,
        folder: &DataFolder,
        addresses: &Addresses,
    ) -> anyhow::Result<ProcessFleetConfig> {
        let logs = folder.logs()?;
        for number in 1..=taskmaster_fleet::MAX_WORKERS {
            set_aside(&logs.join(format!("worker-{number}.log")))?;
        }
        let mut options: Vec<OsString> = Vec::new();
        for (name, value) in [("--slots", args.slots), ("--drain-grace", args.drain_grace)] {
            options.extend([name.into(), value.to_string().into()]);
        }
        options.extend(args.simulate.then(|| "--simulate".into()));
        let mut envs: Vec<(OsString, OsString)> = vec![
            (
                "DATABASE_URL".into(),
                addresses.database_url.expose_secret().into(),
            ),
            ("AMQP_URL".into(), addresses.amqp_url.expose_secret().into()),
            ("TASKMASTER_PREFIX".into(), args.prefix.clone().into()),
            // As the coordinator of this process declares them.
            ("TASKMASTER_WORKER_QUEUES".into(), "classic".into()),
        ];
        if self.servers.own_postgres() {
            envs.push((
                "TASKMASTER_DATABASE_CONNECTIONS".into(),
                WORKER_CONNECTIONS.into(),
            ));
        }
        Ok(ProcessFleetConfig {
            program: std::env::current_exe().context("cannot find our own program")?,
            args: options,
            envs,
            grace: Duration::from_secs(args.drain_grace.into()),
            output: Output::Files(logs),
        })
    }
}

/// Asks a RabbitMQ that others run for an answer: better now than by waiting for workers in vain.
async fn reach(broker: &BrokerConfig) -> anyhow::Result<()> {
    let answered = ControlPublisher::new(broker)?.ping().await;
    answered.map_err(|error| {
        let (place, reason) = (broker.redacted(), line(&error.into()));
        anyhow!("cannot use RabbitMQ at {place} ({reason}): check AMQP_URL, and that RabbitMQ runs there")
    })
}

/// An empty address is as good as none: that is how a variable is unset in many a configuration.
fn given(url: &Option<SecretString>) -> Option<SecretString> {
    url.clone().filter(|url| !url.expose_secret().is_empty())
}

async fn first_end(
    services: &mut JoinSet<(&'static str, anyhow::Result<()>)>,
) -> anyhow::Result<&'static str> {
    match services.join_next().await {
        Some(ended) => {
            let (service, outcome) = ended.context("a service panicked")?;
            outcome.with_context(|| format!("the {service} failed"))?;
            Ok(service)
        }
        None => std::future::pending().await,
    }
}

/// Tells every worker to stop what it runs and to hand it back.
async fn stop_tasks(fleet: &ProcessFleet) {
    for worker in fleet.workers() {
        let (steps, _) = mpsc::unbounded_channel();
        // It may just have ended by itself.
        fleet.kill(&worker.name, &steps).await.ok();
    }
}
