//! `cargo xtask up` and `cargo xtask chaos`: from a fresh machine to a working TaskMaster, and to one that is broken.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::client;
use crate::process::{self, cargo, path_with, say};
use crate::setup::{self, Purpose};
use crate::workspace::{examples, target};

/// What both take.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build without optimisation: sooner there, slower.
    #[arg(long)]
    dev: bool,

    /// For the command itself: --help lists them when it comes after `--`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Sets up, builds, and becomes `taskmaster COMMAND`, so that signals reach it.
///
/// # Errors
/// When the set-up or the build fails, or the executable cannot be started.
pub(crate) fn run(command: &str, arguments: &Arguments) -> Result<()> {
    setup::run(Purpose::Run)?;
    client::build()?;
    let profile = if arguments.dev { "dev" } else { "release" };
    say(format!(
        "building taskmaster ({profile}): some minutes at the first time"
    ));
    process::run(cargo().args(["build", "--package", "taskmaster", "--profile", profile]))?;
    let folder = if arguments.dev { "debug" } else { "release" };
    let error = Command::new(target().join(folder).join("taskmaster"))
        .arg(command)
        .args(&arguments.arguments)
        // The examples' tasks call programs of the examples.
        .env("PATH", path_with(&examples().join("bin"))?)
        .exec();
    Err(error).context("cannot start taskmaster")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[derive(Parser)]
    struct Up {
        #[command(flatten)]
        arguments: super::Arguments,
    }

    #[test]
    fn takes_its_own_flag_first_and_passes_the_rest_on() {
        let parsed = Up::parse_from(["up", "--dev", "--workers", "3", "--simulate"]).arguments;
        assert!(parsed.dev);
        assert_eq!(parsed.arguments, ["--workers", "3", "--simulate"]);

        let parsed = Up::parse_from(["up", "--workers", "3"]).arguments;
        assert!(!parsed.dev);
        assert_eq!(parsed.arguments, ["--workers", "3"]);
    }
}
