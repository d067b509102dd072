//! The checks that are one command of a ready-made tool.

use anyhow::Result;

use super::tally::Tally;
use crate::client;
use crate::process::{cargo, run, say};
use crate::setup::cargo_tools::DENY;
use crate::workspace;

pub(super) fn fmt() -> Result<()> {
    run(cargo().args(["fmt", "--all", "--check"]))
}

pub(super) fn clippy() -> Result<()> {
    client::build()?;
    run(cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))
}

pub(super) fn docs() -> Result<()> {
    client::build()?;
    run(cargo()
        .args([
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--quiet",
        ])
        .env("RUSTDOCFLAGS", "-D warnings"))
}

/// Advisories are left out: they need the internet, and change while the code does not.
pub(super) fn deny() -> Result<()> {
    run(DENY
        .command()?
        .args([
            "check",
            "--hide-inclusion-graph",
            "--allow",
            "unused-wrapper",
        ])
        .args(["bans", "licenses", "sources"]))
}

/// Lint, unit tests, build: each counts.
pub(super) fn client() -> Result<Tally> {
    client::install(&workspace::client())?;
    say("lint of the dashboard");
    let mut tally = Tally::check(client::npm_run("lint", &[]));
    say("unit tests of the dashboard");
    tally += vitest("test", &[])?;
    tally += Tally::check(client::build());
    Ok(tally)
}

/// Runs one of the client's scripts that are vitest, and counts its tests.
pub(super) fn vitest(script: &str, environment: &[(&str, &str)]) -> Result<Tally> {
    let report = tempfile::NamedTempFile::new()?;
    let file = format!("--outputFile.json={}", report.path().display());
    let ended = client::command(script, &["--reporter=default", "--reporter=json", &file])
        .and_then(|mut npm| run(npm.envs(environment.iter().copied())));
    Ok(Tally::of_runner(ended, Tally::of_vitest(report.path())))
}
