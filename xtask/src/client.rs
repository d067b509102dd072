//! The dashboard: its packages and its build, each only when what it is made from has changed.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{run, say};
use crate::setup::node::npm;
use crate::workspace::client;

/// What the build does not read.
const NOT_SOURCES: [&str; 5] = ["node_modules", "dist", "coverage", "e2e", "test-results"];

/// Installs the packages of the npm project in `folder`, exactly as its lock file says.
///
/// # Errors
/// When npm fails.
pub(crate) fn install(folder: &Path) -> Result<()> {
    let mut hash = DefaultHasher::new();
    for file in ["package.json", "package-lock.json"] {
        hash.write(
            &fs::read(folder.join(file))
                .with_context(|| format!("no {file} in {}", folder.display()))?,
        );
    }
    unless_stamped(&folder.join("node_modules/.installed"), &hash, || {
        say(format!(
            "npm ci in {}",
            folder.file_name().unwrap_or_default().display()
        ));
        run(npm()?
            .args(["ci", "--no-audit", "--no-fund"])
            .current_dir(folder))
    })
}

/// Builds the dashboard into `client/dist`, which the api crate embeds.
///
/// # Errors
/// When npm fails.
pub(crate) fn build() -> Result<()> {
    install(&client())?;
    let mut hash = DefaultHasher::new();
    add_folder(&mut hash, &client())?;
    let stamp = client().join("node_modules/.built");
    if !client().join("dist/index.html").exists() && stamp.exists() {
        fs::remove_file(&stamp)?;
    }
    unless_stamped(&stamp, &hash, || {
        say("building the dashboard");
        npm_run("build", &[])
    })
}

/// Runs one of the client's scripts.
///
/// # Errors
/// When the script fails.
pub(crate) fn npm_run(script: &str, arguments: &[&str]) -> Result<()> {
    run(&mut command(script, arguments)?)
}

/// One of the client's scripts, not started yet.
///
/// # Errors
/// When there is no npm.
pub(crate) fn command(script: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = npm()?;
    command
        .args(["run", "--silent", script, "--"])
        .args(arguments)
        .current_dir(client());
    Ok(command)
}

/// Does `work` unless `stamp` says that it was done for the same input.
fn unless_stamped(
    stamp: &Path,
    input: &DefaultHasher,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let input = format!("{:x}\n", input.finish());
    if fs::read_to_string(stamp).is_ok_and(|done| done == input) {
        return Ok(());
    }
    work()?;
    fs::write(stamp, input).with_context(|| format!("cannot write {}", stamp.display()))
}

fn add_folder(hash: &mut DefaultHasher, folder: &Path) -> Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if NOT_SOURCES.contains(&name.as_str()) {
            continue;
        }
        hash.write(name.as_bytes());
        if entry.file_type()?.is_dir() {
            add_folder(hash, &entry.path())?;
        } else {
            hash.write(&fs::read(entry.path())?);
        }
    }
    Ok(())
}
