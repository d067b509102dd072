//! `cargo xtask test`: every check and every test, on a machine that it sets up first.
//!
//! All parts run even when one fails. The last line counts: `N passed, N failed`, and `, N skipped` when something was.

mod browser;
mod chaos;
mod checks;
mod docker;
mod helm;
mod rust;
mod tally;
mod tidy;
mod units;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process::say;
use crate::setup::{self, Purpose};
use tally::Tally;

/// What `test` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Run the Rust tests on the Postgres of this `bin` folder; unless told, it is looked for.
    #[arg(long, value_name = "DIR")]
    postgres: Option<PathBuf>,
}

/// A part of the tests, in the order in which they run: the quick ones first, and each with what it needs built before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Is the Rust code formatted?
    Fmt,
    /// Own rules of the checkout, which no ready-made tool checks.
    Tidy,
    /// The dashboard: lint, unit tests, build.
    Client,
    /// Is .sqlx/ what the queries and the migrations give?
    Sqlx,
    /// Lints of all Rust code.
    Clippy,
    /// All Rust tests, on a private Postgres and a private RabbitMQ.
    Tests,
    /// Does the documentation of the Rust code build?
    Docs,
    /// Directions, licences and sources of the dependency graph.
    Deny,
    /// The Helm chart, by the real Helm and the schemas of Kubernetes.
    Helm,
    /// The systemd units, by systemd itself.
    Units,
    /// The dashboard in a real browser, against the whole system.
    Browser,
    /// A minute of `taskmaster chaos`: nothing is lost while everything is broken in turn.
    Chaos,
    /// The image and the compose file, on a real Docker engine.
    Docker,
}

impl Part {
    fn run(self, postgres: Option<&Path>) -> Result<Tally> {
        match self {
            Self::Fmt => Ok(Tally::check(checks::fmt())),
            Self::Tidy => tidy::run(),
            Self::Client => checks::client(),
            Self::Sqlx => Ok(Tally::check(crate::prepare::check())),
            Self::Clippy => Ok(Tally::check(checks::clippy())),
            Self::Tests => rust::run(postgres),
            Self::Docs => Ok(Tally::check(checks::docs())),
            Self::Deny => Ok(Tally::check(checks::deny())),
            Self::Helm => helm::run(),
            Self::Units => units::run(),
            Self::Browser => browser::run(),
            Self::Chaos => Ok(Tally::check(chaos::run())),
            Self::Docker => docker::run(),
        }
    }
}

/// Runs the chosen parts; a failure of any is the exit code's to tell, so that the counts stay the last line.
///
/// # Errors
/// When the set-up fails.
pub(crate) fn run_test(arguments: &Arguments) -> Result<ExitCode> {
    setup::run(Purpose::Test)?;
    let all = <Part as clap::ValueEnum>::value_variants();
    let chosen = all
        .iter()
        .filter(|part| arguments.only.is_empty() || arguments.only.contains(part));

    let started = Instant::now();
    let mut total = Tally::default();
    let mut lines = Vec::new();
    for part in chosen {
        let name = format!("{part:?}").to_lowercase();
        say(&name);
        let part_started = Instant::now();
        let tally = part
            .run(arguments.postgres.as_deref())
            .unwrap_or_else(|error| Tally::check(Err(error)));
        let line = line(&name, part_started.elapsed(), tally);
        println!("{line}");
        lines.push(line);
        total += tally;
    }

    say("all parts");
    for line in lines {
        println!("{line}");
    }
    println!("{}", line("in all", started.elapsed(), total));
    // Alone on the last line: what CI reads.
    println!("{total}");
    Ok(if total.failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn line(name: &str, took: Duration, tally: Tally) -> String {
    let verdict = if tally.failed > 0 {
        "FAILED"
    } else if tally.passed == 0 {
        "SKIPPED"
    } else {
        "ok"
    };
    format!(
        "    {name:<8} {verdict:<8} {:>6.1} s   {tally}",
        took.as_secs_f64()
    )
}

/// What becomes of a part whose tool the machine lacks: loudly skipped on a contributor's machine, a failure in CI.
fn lacking(what: &str) -> Result<Tally> {
    if is_ci() {
        bail!("this machine lacks {what}");
    }
    println!("!!! SKIPPED: this machine lacks {what} !!!");
    Ok(Tally::SKIPPED)
}

fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}
