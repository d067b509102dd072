//! How a worker is set up.

use std::time::Duration;

use clap::builder::FalseyValueParser;
use taskmaster_broker::BrokerConfig;
use taskmaster_core::{SimulateOptions, WorkerName};
use taskmaster_store::StoreConfig;

use crate::GuardProgram;

/// How a worker is set up.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerConfig {
    /// Where Postgres is.
    #[command(flatten)]
    pub store: StoreConfig,
    /// Where RabbitMQ is.
    #[command(flatten)]
    pub broker: BrokerConfig,
    /// Its name, the same from start to start; the machine's name unless told
    #[arg(long, env = "TASKMASTER_WORKER_NAME", value_name = "NAME")]
    pub name: Option<WorkerName>,
    /// How many tasks it runs at once
    #[arg(long, env = "TASKMASTER_SLOTS", default_value_t = 4, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub slots: u32,
    /// Whether it only simulates.
    #[command(flatten)]
    pub simulate: SimulateConfig,
    /// Seconds between two heartbeats
    #[arg(long, env = "TASKMASTER_HEARTBEAT_INTERVAL", default_value_t = 1, value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub heartbeat_interval: u32,
    /// Seconds without a heartbeat after which it is taken for lost
    #[arg(long, env = "TASKMASTER_HEARTBEAT_TIMEOUT", default_value_t = 10, value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(2..=86_400))]
    pub heartbeat_timeout: u32,
    /// Seconds that running tasks may take to end when the worker is asked to stop; what is left is stopped and
    /// handed back, without spending its attempt
    #[arg(
        long,
        env = "TASKMASTER_DRAIN_GRACE",
        default_value_t = 30,
        value_name = "SECONDS"
    )]
    pub drain_grace: u32,
    /// Seconds between SIGTERM and SIGKILL when a command is stopped
    #[arg(
        long,
        env = "TASKMASTER_KILL_GRACE",
        default_value_t = 5,
        value_name = "SECONDS"
    )]
    pub kill_grace: u32,
    /// The most that is kept of a run's output, in bytes: the first and the last half of it
    #[arg(long, env = "TASKMASTER_OUTPUT_LIMIT", default_value_t = 1 << 20, value_name = "BYTES")]
    pub output_limit: usize,
    /// What ends its runs when it is killed; if there is none, they go on then.
    #[arg(skip)]
    pub guard: Option<GuardProgram>,
}

/// Whether a worker simulates tasks instead of running them.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct SimulateConfig {
    /// Simulate every task instead of running it: a demonstration of the life cycle
    // In the environment also 1, 0, or nothing.
    #[arg(long, env = "TASKMASTER_SIMULATE", value_parser = FalseyValueParser::new())]
    pub simulate: bool,
    /// With --simulate: milliseconds between assignment and start
    #[arg(
        long,
        env = "TASKMASTER_SIMULATE_WAIT_MS",
        default_value_t = 2000,
        value_name = "MS"
    )]
    pub simulate_wait_ms: u32,
    /// With --simulate: milliseconds between start and end
    #[arg(
        long,
        env = "TASKMASTER_SIMULATE_RUN_MS",
        default_value_t = 5000,
        value_name = "MS"
    )]
    pub simulate_run_ms: u32,
}

impl SimulateConfig {
    /// What every task does here that does not say itself how it is to be simulated, if this worker simulates.
    #[must_use]
    pub fn options(self) -> Option<SimulateOptions> {
        self.simulate.then_some(SimulateOptions {
            wait_ms: self.simulate_wait_ms,
            run_ms: self.simulate_run_ms,
            fail: false,
        })
    }
}

impl WorkerConfig {
    /// A configuration made in code, with the defaults of the command line.
    #[must_use]
    pub fn new(store: StoreConfig, broker: BrokerConfig, name: WorkerName) -> Self {
        Self {
            store,
            broker,
            name: Some(name),
            slots: 4,
            simulate: SimulateConfig {
                simulate: false,
                simulate_wait_ms: 2000,
                simulate_run_ms: 5000,
            },
            heartbeat_interval: 1,
            heartbeat_timeout: 10,
            drain_grace: 30,
            kill_grace: 5,
            output_limit: 1 << 20,
            guard: None,
        }
    }

    /// Makes sure that the times fit together.
    ///
    /// # Errors
    /// What to change.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.heartbeat_interval.saturating_mul(2) <= self.heartbeat_timeout,
            "--heartbeat-timeout must be at least twice --heartbeat-interval: a heartbeat may be late"
        );
        Ok(())
    }

    pub(crate) fn heartbeat_interval(&self) -> Duration {
        Duration::from_secs(self.heartbeat_interval.into())
    }

    pub(crate) fn heartbeat_timeout(&self) -> Duration {
        Duration::from_secs(self.heartbeat_timeout.into())
    }

    pub(crate) fn drain_grace(&self) -> Duration {
        Duration::from_secs(self.drain_grace.into())
    }

    pub(crate) fn kill_grace(&self) -> Duration {
        Duration::from_secs(self.kill_grace.into())
    }
}
