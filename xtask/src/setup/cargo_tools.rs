//! The cargo commands that only the tests need: the machine's own, else built into a folder of this checkout.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process::{cargo, find, run, say};
use crate::workspace::{target, tools};

/// A cargo command, and the version that is built where the machine has none.
pub(crate) struct CargoTool {
    name: &'static str,
    version: &'static str,
    /// What of it is built, where the default takes long.
    features: &'static [&'static str],
}

/// Runs the tests.
pub(crate) const NEXTEST: CargoTool = CargoTool {
    name: "cargo-nextest",
    version: "0.9.151",
    // Without the updating of itself, which is half of the time to build it.
    features: &["--no-default-features", "--features", "default-no-update"],
};

/// Checks the dependency graph.
pub(crate) const DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
    features: &[],
};

impl CargoTool {
    /// The tool, built first where there is none.
    ///
    /// # Errors
    /// When it cannot be built.
    pub(crate) fn command(&self) -> Result<Command> {
        let mut command = Command::new(self.ensure()?);
        command
            .current_dir(crate::workspace::root())
            .env("SQLX_OFFLINE", "true");
        Ok(command)
    }

    fn ensure(&self) -> Result<PathBuf> {
        let own = tools().join("bin").join(self.name);
        if own.is_file() {
            return Ok(own);
        }
        if let Some(found) = find(self.name) {
            return Ok(found);
        }
        say(format!(
            "building {} {}, once: some minutes",
            self.name, self.version
        ));
        // Built to be there soon, not to be fast: it runs for seconds.
        run(cargo()
            .args(["install", "--quiet", "--locked", "--no-track", self.name])
            .args(self.features)
            .args(["--version", self.version, "--root"])
            .arg(tools())
            .env("CARGO_TARGET_DIR", target().join("tools/build"))
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false"))?;
        std::fs::remove_dir_all(target().join("tools/build"))?;
        Ok(own)
    }
}
