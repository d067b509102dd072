//! Puts on a fresh machine what running or testing TaskMaster needs. Quick when everything is there.

pub(crate) mod apt;
pub(crate) mod cargo_tools;
pub(crate) mod helm;
pub(crate) mod node;
pub(crate) mod tools;

use anyhow::{Result, bail};

use crate::process::say;
use tools::{TOOLS, Tool};

/// What the machine is set up for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `cargo xtask up`.
    Run,
    /// `cargo xtask test`: all of it.
    Test,
}

/// Installs what is missing.
///
/// # Errors
/// When something that the purpose cannot do without is missing and cannot be installed. What only some tests need is
/// told, no more: those tests say so themselves.
pub(crate) fn run(purpose: Purpose) -> Result<()> {
    install(false)?;
    node::ensure()?;
    if purpose == Purpose::Test
        && let Err(error) = install(true)
    {
        say(format!("WARNING: {error:#}"));
    }
    Ok(())
}

fn install(tests_only: bool) -> Result<()> {
    let lacking = missing(tests_only);
    if lacking.is_empty() {
        return Ok(());
    }
    if apt::usable() {
        let packages: Vec<_> = lacking.iter().map(|tool| tool.package).collect();
        apt::install(&packages)?;
    }
    let lacking = missing(tests_only);
    if lacking.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = lacking
        .iter()
        .map(|tool| format!("\n  {}", tool.name))
        .collect();
    bail!("this machine lacks, please install:{}", names.concat())
}

fn missing(tests_only: bool) -> Vec<&'static Tool> {
    TOOLS
        .iter()
        .filter(|tool| tool.tests_only == tests_only && !(tool.found)())
        .collect()
}
