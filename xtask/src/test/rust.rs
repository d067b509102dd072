//! All Rust tests, on a Postgres and a RabbitMQ that live as long as they run.

use std::path::Path;

use anyhow::Result;

use super::tally::Tally;
use crate::client;
use crate::process::{path_with, say};
use crate::services::Services;
use crate::setup::cargo_tools::NEXTEST;
use crate::setup::tools;
use crate::workspace::{examples, target};

/// What tells every Postgres of ours where its programs are.
const POSTGRES_BIN: &str = "TASKMASTER_POSTGRES_BIN";

pub(super) fn run(postgres: Option<&Path>) -> Result<Tally> {
    client::build()?;
    client::install(&examples())?;
    let report = target().join("nextest/ci/junit.xml");
    if report.exists() {
        std::fs::remove_file(&report)?;
    }
    say("starting Postgres and RabbitMQ for the tests");
    let services = Services::start(postgres)?;
    let mut nextest = NEXTEST.command()?;
    nextest
        .args(["nextest", "run", "--workspace", "--profile", "ci"])
        .env("PATH", path_with(&examples().join("bin"))?)
        // sqlx::test reads this one.
        .env("DATABASE_URL", services.database_url())
        .env("TASKMASTER_TEST_DATABASE_URL", services.database_url())
        .env("TASKMASTER_TEST_AMQP_URL", services.amqp_url());
    if let Some(bin) = postgres {
        // For the tests that start servers of their own.
        nextest.env(POSTGRES_BIN, bin);
    }
    if let Some(python) = tools::python() {
        nextest.env("TASKMASTER_TEST_PYTHON", python);
    }
    let ended = crate::process::run(&mut nextest);
    drop(services);
    Ok(Tally::of_runner(ended, Tally::of_junit(&report)))
}
