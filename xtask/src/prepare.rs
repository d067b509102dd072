//! Regenerates the committed `.sqlx/`, or proves that it is up to date.
//!
//! Does what `cargo sqlx prepare` does, with no tool to install: a throwaway Postgres with the
//! migrations applied, and one `cargo check` of the crate that has the queries, whose macros write one file
//! for each query into `SQLX_OFFLINE_DIR`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{cargo, run, say};
use crate::services::Database;
use crate::workspace::root;

/// The one crate with checked queries.
const PACKAGE: &str = "taskmaster-store";
const SOURCE: &str = "libs/store/src/lib.rs";

/// What `prepare` takes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Change nothing; fail when .sqlx/ is not what the queries and migrations give.
    #[arg(long)]
    check: bool,
}

/// Runs `prepare`.
pub(crate) fn run_prepare(arguments: &Arguments) -> Result<()> {
    if arguments.check { check() } else { write() }
}

/// Replaces `.sqlx/` by what the queries give now.
fn write() -> Result<()> {
    let fresh = generate()?;
    let committed = root().join(".sqlx");
    fs::create_dir_all(&committed)?;
    let old = read(&committed)?;
    for name in old.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(committed.join(name))?;
    }
    for (name, text) in fresh
        .iter()
        .filter(|(name, text)| old.get(*name) != Some(*text))
    {
        fs::write(committed.join(name), text)?;
    }
    say(format!(".sqlx/ has {} queries", fresh.len()));
    Ok(())
}

/// Compares `.sqlx/` with what the queries give now.
pub(crate) fn check() -> Result<()> {
    let fresh = generate()?;
    let old = read(&root().join(".sqlx"))?;
    let mut differing = Vec::new();
    for name in fresh.keys().chain(old.keys()) {
        let what = match (old.get(name), fresh.get(name)) {
            (None, Some(_)) => "missing",
            (Some(_), None) => "no longer used",
            (Some(old), Some(fresh)) if parsed(old)? != parsed(fresh)? => "changed",
            _ => continue,
        };
        let line = format!("  {what}: {name}");
        if !differing.contains(&line) {
            differing.push(line);
        }
    }
    if !differing.is_empty() {
        bail!(
            ".sqlx/ is not up to date; run `cargo xtask prepare`\n{}",
            differing.join("\n")
        );
    }
    say(format!(".sqlx/ is up to date: {} queries", fresh.len()));
    Ok(())
}

/// The files that the macros write, by name.
fn generate() -> Result<BTreeMap<String, String>> {
    let folder = tempfile::tempdir()?;
    let database = Database::start()?;
    database.migrate()?;
    // The macros only run when the crate is compiled again.
    File::options()
        .append(true)
        .open(root().join(SOURCE))
        .and_then(|file| file.set_modified(SystemTime::now()))
        .with_context(|| format!("cannot touch {SOURCE}"))?;
    run(cargo()
        .args(["check", "--quiet", "--all-targets", "-p", PACKAGE])
        .env("SQLX_OFFLINE", "false")
        .env("SQLX_OFFLINE_DIR", folder.path())
        .env("DATABASE_URL", database.url()))?;
    read(folder.path())
}

fn read(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    if !folder.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("query-") && name.ends_with(".json") {
            files.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(text).context("a file in .sqlx/ is not JSON")
}
