//! The command line as a whole. What each command takes lives beside what it does, in `commands` and `up`.

use clap::{Parser, Subcommand};
use reqwest::Url;

use crate::commands::{
    audit, autoscale, cancel, chaos, doctor, healthcheck, kill, logs, retry, scale, services,
    stats, submit, task, tasks, workers,
};
use crate::up;

pub(crate) mod duration;
pub(crate) mod variable;
pub(crate) mod when;

/// A fleet of workers that runs commands: now, at a given time, and with a record of each.
///
/// `taskmaster up` starts everything on this machine; the other commands talk to it.
#[derive(Debug, Parser)]
#[command(name = "taskmaster", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands, in the order of the help text.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Args),
    Submit(submit::Args),
    Tasks(tasks::Args),
    Task(task::Args),
    Logs(logs::Args),
    Cancel(cancel::Args),
    Retry(retry::Args),
    Workers(workers::Args),
    Scale(scale::Args),
    Autoscale(autoscale::Args),
    Kill(kill::Args),
    Audit(audit::Args),
    Stats(stats::Args),
    Api(services::Api),
    Coordinator(services::Coordinator),
    Worker(services::Worker),
    DockerProxy(services::DockerProxy),
    Migrate(services::Migrate),
    Doctor(doctor::Args),
    Healthcheck(healthcheck::Args),
    Chaos(chaos::Args),
}

/// What every command of the client takes.
#[derive(Debug, clap::Args)]
pub(crate) struct ClientArgs {
    /// Where the TaskMaster API is
    #[arg(
        long,
        env = "TASKMASTER_API",
        default_value = "http://127.0.0.1:8081",
        value_name = "URL",
        value_parser = parse_url
    )]
    pub(crate) api: Url,
    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
}

fn parse_url(text: &str) -> Result<Url, String> {
    let hint = "expected an address such as http://127.0.0.1:8081";
    let url: Url = text.parse().map_err(|error| format!("{error}; {hint}"))?;
    if matches!(url.scheme(), "http" | "https") && url.has_host() {
        Ok(url)
    } else {
        Err(hint.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_api_address_is_http() {
        for good in ["http://127.0.0.1:8081", "https://tasks.example/prefix/"] {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        for bad in ["", "127.0.0.1:8081", "localhost", "ftp://host", "/x"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }
}
