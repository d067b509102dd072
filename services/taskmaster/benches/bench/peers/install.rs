//! Installing the others, from their registries and in the versions that their folders name.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::program::Kit;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");

/// Where they are installed.
#[derive(Debug)]
pub(super) struct Installed {
    folder: PathBuf,
    _temporary: Option<TempDir>,
}

impl Installed {
    /// Installs all in a folder that is kept, where what is there already is not installed again, or in a temporary one.
    pub(super) fn in_folder(kept: Option<&Path>) -> Result<Self> {
        let temporary = match kept {
            Some(_) => None,
            None => Some(tempfile::tempdir()?),
        };
        let folder = kept.or(temporary.as_ref().map(TempDir::path));
        let folder = folder.context("no folder")?.to_owned();
        let installed = Self {
            folder,
            _temporary: temporary,
        };
        for kit in Kit::ALL {
            let folder = installed.folder(kit);
            copy(&Path::new(SOURCES).join(kit.name()), &folder)?;
            install(kit, &folder)
                .with_context(|| format!("cannot install the peers in {}", kit.name()))?;
        }
        Ok(installed)
    }

    pub(super) fn folder(&self, kit: Kit) -> PathBuf {
        self.folder.join(kit.name())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else if fs::read(&to).ok() != Some(fs::read(entry.path())?) {
            // Only then: Cargo goes by times.
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn install(kit: Kit, folder: &Path) -> Result<()> {
    match kit {
        Kit::Node => {
            let npm = ["install", "--no-audit", "--no-fund", "--omit=dev"];
            // For the Node.js that installs; they run on a newer one.
            run(folder, "npm", &[&npm[..], &["--loglevel=error"]].concat())
        }
        Kit::Rust => {
            let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
            let build = ["build", "--release", "--quiet", "--target-dir", "target"];
            run(folder, &cargo, &build)
        }
        Kit::Celery => {
            run(folder, "python3", &["-m", "venv", "venv"])?;
            let pip = [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ];
            let python = folder.join("venv/bin/python");
            let python = python.to_str().context("the folder's name is no text")?;
            run(
                folder,
                python,
                &[&pip[..], &["-r", "requirements.txt"]].concat(),
            )
        }
    }
}

fn run(folder: &Path, tool: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(tool)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {tool}, which the peers are installed with"))?;
    ensure!(status.success(), "{tool} {}: {status}", arguments.join(" "));
    Ok(())
}
