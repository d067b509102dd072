//! One server's folder: locked against a second owner, handed to the user that the server runs as, with the state that
//! the next start needs (password, last port) in a file that only that user can read.

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::{
        fs::{DirBuilderExt, OpenOptionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rand::distr::{Alphanumeric, SampleString};
use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{account::Account, error::Error, guard::Guard, log::Log};

const LOCK: &str = "lock";
const STATE: &str = "state.json";

/// A folder that nobody else uses while this value lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    account: Option<Account>,
    /// The lock goes with the file's closing, whatever way we end.
    _lock: File,
}

impl Folder {
    /// Makes the folder if needed, locks it, and sees that the server's user (`user` if we are root, see [`Account`]) can
    /// use it. `data` is where the server's data is in it.
    pub(crate) fn open(
        what: &'static str,
        path: &Path,
        user: &str,
        data: &str,
    ) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("the data folder's path"))?;
        make(&path).map_err(Error::io(format!("making {}", path.display())))?;
        let lock = lock(&path)?;
        let account = Account::choose(user, &path.join(data));
        let folder = Self {
            path,
            account,
            _lock: lock,
        };
        folder.adopt(&folder.path)?;
        folder.adopt(&folder.join(LOCK))?;
        folder.reach(what)?;
        Ok(folder)
    }

    /// A path in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the last start wrote down.
    pub(crate) fn state<S: DeserializeOwned>(&self) -> Result<Option<S>, Error> {
        let file = self.join(STATE);
        let read = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        };
        read.map(Some)
            .map_err(Error::io(format!("reading {}", file.display())))
    }

    /// Writes down what the next start needs.
    pub(crate) fn keep<S: Serialize>(&self, state: &S) -> Result<(), Error> {
        let text = serde_json::to_string(state)
            .map_err(io::Error::other)
            .map_err(Error::io("the state"))?;
        self.write(STATE, &text)
    }

    /// Writes a file that only the server's user can read; whole, or not at all.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let (file, part) = (self.join(name), self.join(&format!("{name}.part")));
        let write = || {
            fs::remove_file(&part).or_else(absent)?;
            let mut out = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&part)?;
            out.write_all(text.as_bytes())?;
            out.sync_all()
        };
        write().map_err(Error::io(format!("writing {}", file.display())))?;
        self.adopt(&part)?;
        fs::rename(&part, &file).map_err(Error::io(format!("writing {}", file.display())))
    }

    /// Makes a folder in it.
    pub(crate) fn make(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.join(name);
        make(&path).map_err(Error::io(format!("making {}", path.display())))?;
        self.adopt(&path)?;
        Ok(path)
    }

    /// A command for the server or one of its tools: as its user, in this folder, in a clean environment, under the guard,
    /// with its output in `log`. Also tells where in the log that output will begin.
    pub(crate) fn command(
        &self,
        guard: &Guard,
        signal: Signal,
        program: &Path,
        log: &Log,
    ) -> Result<(Command, u64), Error> {
        let mut command = guard.command(signal, program);
        command
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", &self.path)
            .env("LANG", "C.UTF-8")
            .current_dir(&self.path)
            .stdin(Stdio::null());
        if let Some(account) = &self.account {
            command.gid(account.gid).uid(account.uid);
        }
        let begin = log
            .capture(&mut command)
            .map_err(Error::io(format!("opening {}", log.path().display())))?;
        self.adopt(log.path())?;
        Ok((command, begin))
    }

    /// Hands a file of ours to the server's user.
    fn adopt(&self, path: &Path) -> Result<(), Error> {
        let Some(account) = &self.account else {
            return Ok(());
        };
        chown(path, Some(account.uid), Some(account.gid)).map_err(Error::io(format!(
            "handing {} to {}",
            path.display(),
            account.name
        )))
    }

    /// Tries, as the server's user, to use the folder: a parent folder may keep it out.
    fn reach(&self, what: &'static str) -> Result<(), Error> {
        let Some(account) = &self.account else {
            return Ok(());
        };
        let status = Command::new("/bin/sh")
            .args(["-c", "cd \"$1\" && test -w .", "sh"])
            .arg(&self.path)
            .current_dir("/")
            .gid(account.gid)
            .uid(account.uid)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(Error::io(format!("becoming user {}", account.name)))?;
        if status.success() {
            Ok(())
        } else {
            Err(Error::Unreachable {
                what,
                user: account.name.clone(),
                folder: self.path.clone(),
            })
        }
    }
}

/// A new password: letters and digits only, so that it needs no quoting anywhere.
pub(crate) fn password() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), 32)
}

/// Where programs that ours start are looked for (`erl` by RabbitMQ's script): also where it is usual, whatever PATH we were given.
pub(crate) fn search_path() -> OsString {
    let usual = "/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin";
    match std::env::var_os("PATH") {
        Some(mut path) if !path.is_empty() => {
            path.push(":");
            path.push(usual);
            path
        }
        _ => usual.into(),
    }
}

fn make(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        other => other,
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let file = path.join(LOCK);
    // A folder with someone else's files in it must never be handed to another user.
    let foreign = !file.exists()
        && fs::read_dir(path)
            .map_err(Error::io(format!("reading {}", path.display())))?
            .next()
            .is_some();
    if foreign {
        return Err(Error::Io {
            doing: format!("using {}", path.display()),
            source: io::Error::other(
                "it has files in it that are not ours: choose another --data-dir",
            ),
        });
    }
    let mut lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&file)
        .map_err(Error::io(format!("opening {}", file.display())))?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut owner = String::new();
        lock.read_to_string(&mut owner).ok();
        return Err(Error::InUse {
            folder: path.to_owned(),
            pid: owner.trim().parse().ok(),
        });
    }
    let sign = lock
        .set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()));
    sign.map_err(Error::io(format!("writing {}", file.display())))?;
    Ok(lock)
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_owner_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("server");
        let make = |path: &Path| Folder::open("Test", path, "no such user", "data");
        let first = make(&path);
        // As root the parent, which only root may enter, keeps the other user out; the lock is then free again.
        let Ok(first) = first else {
            assert!(matches!(first, Err(Error::Unreachable { .. })));
            return;
        };
        let second = make(&path);
        assert!(matches!(second, Err(Error::InUse { pid, .. }) if pid == Some(std::process::id())));
        drop(first);
        make(&path).unwrap();
    }

    #[test]
    fn a_folder_with_files_of_others_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("theirs"), "x").unwrap();
        let error = Folder::open("Test", parent.path(), "nobody", "data").unwrap_err();
        assert!(error.to_string().contains("not ours"), "{error}");
    }
}
