//! The taskmaster executable: wiring only. Parses, runs one command, and turns how it went into an exit code.

use std::ffi::OsString;
use std::io::Write;
use std::num::NonZero;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use tokio::runtime::Builder;

use cli::{Cli, Command};

mod cli;
mod client;
mod commands;
mod failure;
mod output;
mod up;

/// Becomes a server that a private Postgres or RabbitMQ consists of; see `taskmaster_embedded::Guard`. Not for people.
const GUARD: &str = "internal-guard";
/// Ends the runs of a worker that was killed; see `taskmaster_worker::GuardProgram`. Not for people.
const WORKER_GUARD: &str = "internal-worker-guard";
/// The most threads that turn the event loop. A service's container has a limit of processes, threads included, and no
/// service needs one for each of a large machine's processors.
const MOST_THREADS: usize = 8;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == GUARD => return become_server(arguments),
        Some(first) if first == WORKER_GUARD => return guard_worker(arguments),
        _ => {}
    }
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => failure::report(&error),
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    // Fails when there is one already, which is as good.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let runtime = match command {
        // It runs beside a service, within the same limits.
        Command::Healthcheck(_) => Builder::new_current_thread().enable_all().build()?,
        _ => {
            let processors = thread::available_parallelism().map_or(2, NonZero::get);
            Builder::new_multi_thread()
                .worker_threads(processors.min(MOST_THREADS))
                .enable_all()
                .build()?
        }
    };
    runtime.block_on(async {
        match command {
            Command::Up(args) => args.run().await,
            Command::Submit(args) => args.run().await,
            Command::Tasks(args) => args.run().await,
            Command::Task(args) => args.run().await,
            Command::Logs(args) => args.run().await,
            Command::Cancel(args) => args.run().await,
            Command::Retry(args) => args.run().await,
            Command::Workers(args) => args.run().await,
            Command::Scale(args) => args.run().await,
            Command::Autoscale(args) => args.run().await,
            Command::Kill(args) => args.run().await,
            Command::Audit(args) => args.run().await,
            Command::Stats(args) => args.run().await,
            Command::Api(args) => args.run().await,
            Command::Coordinator(args) => args.run().await,
            Command::Worker(args) => args.run().await,
            Command::DockerProxy(args) => args.run().await,
            Command::Migrate(args) => args.run().await,
            Command::Doctor(args) => args.run().await,
            Command::Healthcheck(args) => args.run().await,
            Command::Chaos(args) => args.run().await,
        }
    })
}

fn become_server(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let error = taskmaster_embedded::guard_main(arguments);
    writeln!(std::io::stderr(), "error: {error}").ok();
    ExitCode::from(127)
}

fn guard_worker(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match taskmaster_worker::guard_main(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "error: {error}").ok();
            ExitCode::FAILURE
        }
    }
}
