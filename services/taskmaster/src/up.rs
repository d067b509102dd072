//! `taskmaster up`: everything on this machine, started and stopped in order by one process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::builder::FalseyValueParser;
use secrecy::SecretString;
use taskmaster_api::{AUTOSCALE_INTERVAL, AllowedHost};
use taskmaster_fleet::{MAX_WORKERS, MIN_WORKERS};
use taskmaster_runtime::Shutdown;

use crate::commands::services::LogArgs;
use crate::output::Terminal;
use data_folder::DataFolder;
use running::Running;

mod data_folder;
mod logs;
mod readiness;
mod running;
mod servers;
mod slot;

/// Start everything on this machine: Postgres, RabbitMQ, the API, a coordinator and workers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many workers
    #[arg(long, env = "TASKMASTER_WORKERS", default_value_t = 3, value_name = "N",
        value_parser = clap::value_parser!(u32).range(i64::from(MIN_WORKERS)..=i64::from(MAX_WORKERS)))]
    workers: u32,
    /// How many tasks each worker runs at once
    #[arg(long, env = "TASKMASTER_SLOTS", default_value_t = 4, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    slots: u32,
    /// Simulate every task instead of running it: a demonstration of the life cycle
    #[arg(long, env = "TASKMASTER_SIMULATE", value_parser = FalseyValueParser::new())]
    simulate: bool,
    /// Where everything is kept [default: /var/lib/taskmaster for root, else ~/.local/share/taskmaster]
    #[arg(long, env = "TASKMASTER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The address and port of the API and the dashboard
    #[arg(
        long,
        env = "TASKMASTER_LISTEN",
        default_value = "127.0.0.1:8081",
        value_name = "ADDRESS:PORT"
    )]
    listen: SocketAddr,
    /// Another host name by which the API is reached, such as that of a reverse proxy. May be given several times
    #[arg(
        long = "allowed-host",
        env = "TASKMASTER_ALLOWED_HOSTS",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    allowed_hosts: Vec<AllowedHost>,
    /// Seconds from one decision of the autoscaler to the next
    #[arg(long, env = "TASKMASTER_AUTOSCALE_INTERVAL", default_value_t = AUTOSCALE_INTERVAL, value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..=3600))]
    autoscale_interval: u32,
    /// A Postgres that runs already; unless told, a private one is started
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database_url: Option<SecretString>,
    /// A RabbitMQ that runs already; unless told, a private one is started
    #[arg(long, env = "AMQP_URL", hide_env_values = true, value_name = "URL")]
    amqp_url: Option<SecretString>,
    /// What the names of all queues and exchanges begin with
    #[arg(long, env = "TASKMASTER_PREFIX", default_value = "taskmaster")]
    prefix: String,
    /// Seconds that running tasks may take to end when everything stops
    #[arg(
        long,
        env = "TASKMASTER_DRAIN_GRACE",
        default_value_t = 30,
        value_name = "SECONDS"
    )]
    drain_grace: u32,
    #[command(flatten)]
    log: LogArgs,
}

impl Args {
    /// Runs until Ctrl-C or SIGTERM, then stops everything in order. A second one stops what still runs; a third one
    /// leaves at once, and the servers' guards stop them.
    ///
    /// # Errors
    /// When something cannot be started, or ends by itself.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut terminal = Terminal::new();
        let folder = DataFolder::open(self.data_dir.clone())?;
        logs::init(self.log.log_format, &folder.logs()?)?;
        let shutdown = Shutdown::on_signals()?;
        let mut running = Running::default();
        let outcome = tokio::select! {
            biased;
            () = shutdown.drain.cancelled() => Ok(()),
            ended = live(&mut running, &self, &folder, &mut terminal) => ended,
        };
        let third = async {
            shutdown.now.cancelled().await;
            // Made only now, so that the second one is not taken for the third.
            Shutdown::on_signals()?.drain.cancelled().await;
            anyhow::Ok(ExitCode::from(130))
        };
        tokio::select! {
            () = running.stop(&shutdown, &mut terminal) => {
                outcome?;
                terminal.note("everything is stopped");
                Ok(ExitCode::SUCCESS)
            }
            code = third => code,
        }
    }
}

/// Starts everything and stays until something ends that should not.
async fn live(
    running: &mut Running,
    args: &Args,
    folder: &DataFolder,
    terminal: &mut Terminal,
) -> anyhow::Result<()> {
    let address = running.start(args, folder, terminal).await?;
    terminal.line(format!("TaskMaster is ready: http://{address}"))?;
    terminal.line(hint(&address, folder))?;
    let service = running.first_end().await?;
    bail!(
        "the {service} has ended by itself; its log is in {}",
        folder.logs()?.display()
    );
}

fn hint(address: &str, folder: &DataFolder) -> String {
    let api = if address == "127.0.0.1:8081" {
        String::new()
    } else {
        format!("--api http://{address} ")
    };
    let data = folder.path().display();
    format!(
        "  try it:  taskmaster submit {api}'echo hello' --follow\n  \
           data:    {data}\n  \
           AMQP:    its address is in {data}/connections.env\n  \
           stop:    Ctrl-C"
    )
}
