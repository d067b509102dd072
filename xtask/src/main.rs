//! `cargo xtask`: set-up, run and test in one command each.
//!
//! Lives here: what a contributor types. Not here: anything that a running TaskMaster needs.
#![expect(
    clippy::print_stdout,
    reason = "a command line tool: what it prints is what it is for"
)]

mod postgres;
mod prepare;
mod workspace;

use clap::{Parser, Subcommand};

/// Set-up, run and test TaskMaster.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Regenerate the committed .sqlx/ (what the compiler checks queries against).
    Prepare(prepare::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Prepare(arguments) => prepare::run_prepare(&arguments),
    }
}
