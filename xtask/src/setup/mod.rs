//! Puts on a fresh machine what running or testing TaskMaster needs. Quick when everything is there.

pub(crate) mod apt;
pub(crate) mod cargo_tools;
pub(crate) mod helm;
pub(crate) mod node;
pub(crate) mod tools;
pub(crate) mod wheel;

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
    /// `cargo xtask images`, and the tests on containers.
    Containers,
}

/// Installs what is missing.
///
/// # Errors
/// When something that running cannot do without is missing and cannot be installed. What only some tests need is
/// told, no more: those tests say so themselves.
pub(crate) fn run(purpose: Purpose) -> Result<()> {
    if purpose != Purpose::Containers {
        install(&[Purpose::Run])?;
        node::ensure()?;
    }
    let optional: &[_] = match purpose {
        Purpose::Run => &[],
        Purpose::Test => &[Purpose::Test, Purpose::Containers],
        Purpose::Containers => &[Purpose::Containers],
    };
    if let Err(error) = install(optional) {
        say(format!("WARNING: {error:#}"));
    }
    Ok(())
}

fn install(purposes: &[Purpose]) -> Result<()> {
    let lacking = missing(purposes);
    if lacking.is_empty() {
        return Ok(());
    }
    if apt::usable() {
        let packages: Vec<_> = lacking.iter().map(|tool| tool.package).collect();
        apt::install(&packages)?;
    }
    let lacking = missing(purposes);
    if lacking.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = lacking
        .iter()
        .map(|tool| format!("\n  {}", tool.name))
        .collect();
    bail!("this machine lacks, please install:{}", names.concat())
}

fn missing(purposes: &[Purpose]) -> Vec<&'static Tool> {
    TOOLS
        .iter()
        .filter(|tool| purposes.contains(&tool.purpose) && !(tool.found)())
        .collect()
}
