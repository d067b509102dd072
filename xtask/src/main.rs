//! `cargo xtask`: set-up, run and test in one command each.
//!
//! Lives here: what a contributor types. Not here: anything that a running TaskMaster needs.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool: what it prints is what it is for"
)]

mod client;
mod engine;
mod images;
mod openapi;
mod prepare;
mod process;
mod services;
mod setup;
mod test;
mod up;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Set-up, run and test TaskMaster, each in one command.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what running and testing TaskMaster needs (Debian, Ubuntu); quick when all is there.
    Setup,
    /// Build the dashboard into client/dist, if it changed.
    Client,
    /// Set up, build, and run `taskmaster up` with the arguments given.
    Up(up::Arguments),
    /// Set up, and run every check and every test.
    Test(test::Arguments),
    /// Regenerate the committed .sqlx/: what the compiler checks the queries against.
    Prepare(prepare::Arguments),
    /// Pull the images that ours begins with, or make stand-ins where nothing can be pulled.
    Images,
    /// Run a command with a Docker engine, or only the engine: one of our own if none answers.
    Engine(engine::Arguments),
    /// Set up, build, and run `taskmaster chaos` with the arguments given.
    Chaos(up::Arguments),
    /// Set up, and measure the optimised build with the arguments given; `bench --help` tells which there are.
    #[command(disable_help_flag = true)]
    Bench {
        /// What the benchmark is given.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Regenerate the committed OpenAPI document and the dashboard's types.
    Openapi,
}

fn main() -> ExitCode {
    run(Arguments::parse().command).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Setup => setup::run(setup::Purpose::Test)?,
        Command::Client => {
            setup::node::ensure()?;
            client::build()?;
        }
        Command::Up(arguments) => up::run("up", &arguments)?,
        Command::Chaos(arguments) => up::run("chaos", &arguments)?,
        Command::Test(arguments) => return test::run_test(&arguments),
        Command::Prepare(arguments) => prepare::run_prepare(&arguments)?,
        Command::Bench { arguments } => {
            setup::run(setup::Purpose::Run)?;
            client::build()?;
            let bench = ["bench", "--package", "taskmaster", "--bench", "bench", "--"];
            process::run(process::cargo().args(bench).args(arguments))?;
        }
        Command::Images => {
            setup::run(setup::Purpose::Containers)?;
            images::run_images()?;
        }
        Command::Engine(arguments) => engine::run_engine(&arguments)?,
        Command::Openapi => openapi::run_openapi()?,
    }
    Ok(ExitCode::SUCCESS)
}
