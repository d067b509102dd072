//! The folder that everything is kept in: one `taskmaster up` at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use secrecy::{ExposeSecret, SecretString};

/// A data folder that nobody else uses while this value lives.
#[derive(Debug)]
pub(super) struct DataFolder {
    path: PathBuf,
    /// The lock goes with the file's closing, whatever way we end.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if needed (the usual one, unless told), and locks it.
    ///
    /// # Errors
    /// When it cannot be made, or another process uses it.
    pub(super) fn open(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let path = path.map_or_else(usual, Ok)?;
        let path = std::path::absolute(&path)
            .with_context(|| format!("the data folder {}", path.display()))?;
        let hint = || {
            format!(
                "cannot use {}: choose another folder with --data-dir",
                path.display()
            )
        };
        // Others may pass: Postgres's user has to reach its own folder in it. What is secret is in folders of their own.
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&path)
            .with_context(hint)?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down how to connect to the two servers, for our eyes only: programs that submit over AMQP need it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write_addresses(
        &self,
        database_url: &SecretString,
        amqp_url: &SecretString,
    ) -> anyhow::Result<PathBuf> {
        let path = self.path.join("connections.env");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        writeln!(file, "DATABASE_URL='{}'", database_url.expose_secret())?;
        writeln!(file, "AMQP_URL='{}'", amqp_url.expose_secret())?;
        Ok(path)
    }

    /// The folder of logs, for our eyes only; made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn logs(&self) -> anyhow::Result<PathBuf> {
        let logs = self.path.join("logs");
        if !logs.is_dir() {
            DirBuilder::new()
                .mode(0o700)
                .create(&logs)
                .with_context(|| format!("cannot make {}", logs.display()))?;
        }
        Ok(logs)
    }
}

/// `/var/lib/taskmaster` for root, the user's own data folder for everyone else.
fn usual() -> anyhow::Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/taskmaster"));
    }
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    match data {
        Some(data) => Ok(data.join("taskmaster")),
        None => bail!("there is no home folder to keep data in: choose a folder with --data-dir"),
    }
}

fn lock(folder: &Path) -> anyhow::Result<File> {
    let file = folder.join("up.lock");
    let cannot = || {
        format!(
            "cannot use {}: choose another folder with --data-dir",
            file.display()
        )
    };
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&file)
        .with_context(cannot)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut owner = String::new();
            lock.read_to_string(&mut owner).ok();
            bail!(
                "{} is in use by another taskmaster up (pid {}): stop that one, or choose another folder with --data-dir",
                folder.display(),
                owner.trim()
            );
        }
        Err(error) => return Err(error).with_context(cannot),
    }
    let sign = lock
        .set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()));
    sign.with_context(cannot)?;
    Ok(lock)
}

/// Sets a log aside (as `….1`) that has grown too long, so that none grows forever.
///
/// # Errors
/// When it cannot be renamed.
pub(super) fn set_aside(log: &Path) -> std::io::Result<()> {
    const KEEP_BYTES: u64 = 16 << 20;
    if fs::metadata(log).is_ok_and(|log| log.len() > KEEP_BYTES) {
        fs::rename(log, log.with_extension("log.1"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = DataFolder::open(Some(path.clone())).unwrap();
        assert!(first.logs().unwrap().is_dir() && first.logs().unwrap().is_dir());
        let second = DataFolder::open(Some(path.clone())).unwrap_err();
        let text = crate::failure::line(&second);
        assert!(
            text.contains(&format!("pid {}", std::process::id())) && text.contains("--data-dir"),
            "{text}"
        );
        drop(first);
        DataFolder::open(Some(path)).unwrap();
    }

    #[test]
    fn a_path_that_is_no_folder_is_refused_with_advice() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataFolder::open(Some(file.path().to_owned())).unwrap_err();
        assert!(crate::failure::line(&error).contains("--data-dir"));
    }
}
