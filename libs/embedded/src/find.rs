//! Where Postgres's and RabbitMQ's programs are. Debian has neither in PATH: the first is below `/usr/lib/postgresql`, and the
//! `rabbitmq-server` that is in PATH is a wrapper that changes to another user.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::error::Error;

/// Names Postgres's `bin` folder.
pub(crate) const POSTGRES_BIN: &str = "TASKMASTER_POSTGRES_BIN";
/// Names RabbitMQ's `rabbitmq-server` script.
pub(crate) const RABBITMQ_SERVER: &str = "TASKMASTER_RABBITMQ_SERVER";

/// Where to look.
pub(crate) struct Places {
    /// PATH.
    path: Vec<PathBuf>,
    /// The root of the file system; another one in tests.
    root: PathBuf,
}

impl Places {
    /// This machine.
    pub(crate) fn here() -> Self {
        Self {
            path: std::env::split_paths(&crate::folder::search_path()).collect(),
            root: PathBuf::from("/"),
        }
    }

    /// Postgres's `bin` folders, the best first, at least one. `explicit` is the only one when it is set.
    pub(crate) fn postgres(&self, explicit: Option<&Path>) -> Result<Vec<PathBuf>, Error> {
        let complete = |folder: &PathBuf| {
            ["initdb", "postgres"]
                .iter()
                .all(|name| folder.join(name).is_file())
        };
        if let Some(folder) = explicit.map(Path::to_owned) {
            return if complete(&folder) {
                Ok(vec![folder])
            } else {
                Err(missing(
                    "PostgreSQL",
                    format!(
                        "{} has no `initdb` and `postgres`; set {POSTGRES_BIN} to Postgres's bin folder, or unset it",
                        folder.display()
                    ),
                ))
            };
        }
        let mut folders = self.path.clone();
        folders.extend(self.versions("usr/lib/postgresql", "", "bin"));
        folders.extend(self.versions("usr", "pgsql-", "bin"));
        folders.extend(self.pg_config());
        for brew in [
            "opt/homebrew/opt",
            "usr/local/opt",
            "home/linuxbrew/.linuxbrew/opt",
        ] {
            folders.extend(self.versions(brew, "postgresql@", "bin"));
            folders.push(self.root.join(brew).join("postgresql/bin"));
        }
        folders.retain(complete);
        if folders.is_empty() {
            Err(missing(
                "PostgreSQL",
                format!(
                    "{}, or set {POSTGRES_BIN} to the folder that has `initdb` and `postgres`, or set DATABASE_URL to a server that runs",
                    install("postgresql", "postgresql@17")
                ),
            ))
        } else {
            Ok(folders)
        }
    }

    /// RabbitMQ's `rabbitmq-server` script. `explicit` is the only one when it is set.
    pub(crate) fn rabbitmq(&self, explicit: Option<&Path>) -> Result<PathBuf, Error> {
        if let Some(script) = explicit {
            return if script.is_file() {
                Ok(script.to_owned())
            } else {
                Err(missing(
                    "RabbitMQ",
                    format!(
                        "{} is no file; set {RABBITMQ_SERVER} to RabbitMQ's `rabbitmq-server` script, or unset it",
                        script.display()
                    ),
                ))
            };
        }
        let usual = [
            "usr/lib/rabbitmq/bin",
            "opt/homebrew/opt/rabbitmq/sbin",
            "usr/local/opt/rabbitmq/sbin",
            "usr/local/sbin",
        ];
        usual
            .iter()
            .map(|folder| self.root.join(folder))
            .chain(self.path.iter().cloned())
            .map(|folder| folder.join("rabbitmq-server"))
            .find(|script| script.is_file() && !is_wrapper(script))
            .ok_or_else(|| missing("RabbitMQ", format!("{}, or set {RABBITMQ_SERVER} to its `rabbitmq-server` script, or set AMQP_URL to a server that runs", install("rabbitmq-server", "rabbitmq"))))
    }

    /// Erlang's port mapper daemon, which every Erlang has.
    pub(crate) fn epmd(&self) -> Result<PathBuf, Error> {
        let beside_erl = self
            .path
            .iter()
            .filter_map(|folder| fs::canonicalize(folder.join("erl")).ok())
            .filter_map(|erl| erl.parent().map(Path::to_owned));
        let erlang = [
            "usr/lib/erlang",
            "usr/lib64/erlang",
            "usr/local/lib/erlang",
            "opt/homebrew/opt/erlang/lib/erlang",
        ]
        .iter()
        .flat_map(|root| self.versions(root, "erts-", "bin"));
        self.path
            .iter()
            .cloned()
            .chain(beside_erl)
            .chain(erlang)
            .map(|folder| folder.join("epmd"))
            .find(|epmd| epmd.is_file())
            .ok_or_else(|| {
                missing(
                    "Erlang's epmd",
                    format!(
                        "{}, or put it into PATH, or set AMQP_URL to a server that runs",
                        install("erlang-base", "erlang")
                    ),
                )
            })
    }

    /// `folder/<prefix><version>/<bin>` for every version there is, the highest first.
    fn versions(&self, folder: &str, prefix: &str, bin: &str) -> Vec<PathBuf> {
        let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(self.root.join(folder))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                let version = name.to_str()?.strip_prefix(prefix)?;
                let numbers: Vec<u32> = version
                    .split('.')
                    .map_while(|part| part.parse().ok())
                    .collect();
                (!numbers.is_empty()).then(|| (numbers, entry.path().join(bin)))
            })
            .collect();
        found.sort();
        found.into_iter().rev().map(|(_, path)| path).collect()
    }

    fn pg_config(&self) -> Option<PathBuf> {
        let program = self
            .path
            .iter()
            .map(|folder| folder.join("pg_config"))
            .find(|file| file.is_file())?;
        let output = Command::new(program).arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    }
}

/// An environment variable that names a path; an empty one counts as unset.
pub(crate) fn from_env(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value: &OsString| !value.is_empty())
        .map(PathBuf::from)
}

/// The major version of the Postgres in a `bin` folder, as in its data's `PG_VERSION`.
pub(crate) fn postgres_version(bin: &Path) -> Option<String> {
    let output = Command::new(bin.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", or "17beta1"
    let version = text.split_whitespace().nth(2)?;
    Some(version.chars().take_while(char::is_ascii_digit).collect())
}

/// Debian's and Red Hat's wrappers insist on the user `rabbitmq` and on the system's folders.
fn is_wrapper(script: &Path) -> bool {
    let script = fs::canonicalize(script).unwrap_or_else(|_| script.to_owned());
    script
        .file_name()
        .is_some_and(|name| name == "rabbitmq-script-wrapper")
}

fn install(apt: &str, brew: &str) -> String {
    if cfg!(target_os = "macos") {
        format!("run `brew install {brew}`")
    } else {
        format!("run `apt install {apt}`")
    }
}

fn missing(what: &'static str, remedy: String) -> Error {
    Error::NotFound { what, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[&str]) -> (tempfile::TempDir, Places) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let places = Places {
            path: vec![root.path().join("path")],
            root: root.path().to_owned(),
        };
        (root, places)
    }

    #[test]
    fn takes_path_first_then_the_highest_version() {
        let (root, places) = machine(&[
            "usr/lib/postgresql/9.6/bin/initdb",
            "usr/lib/postgresql/9.6/bin/postgres",
            "usr/lib/postgresql/15/bin/initdb",
            "usr/lib/postgresql/15/bin/postgres",
            "usr/lib/postgresql/17/bin/psql",
            "path/initdb",
            "path/postgres",
        ]);
        let found = places.postgres(None).unwrap();
        let expected = [
            "path",
            "usr/lib/postgresql/15/bin",
            "usr/lib/postgresql/9.6/bin",
        ];
        assert_eq!(found, expected.map(|folder| root.path().join(folder)));
    }

    #[test]
    fn passes_over_the_wrapper_in_path() {
        let (root, places) = machine(&["lib/rabbitmq-script-wrapper", "path/other"]);
        std::os::unix::fs::symlink(
            root.path().join("lib/rabbitmq-script-wrapper"),
            root.path().join("path/rabbitmq-server"),
        )
        .unwrap();
        assert!(places.rabbitmq(None).is_err());
        let (root, places) = machine(&["usr/lib/rabbitmq/bin/rabbitmq-server"]);
        assert_eq!(
            places.rabbitmq(None).unwrap(),
            root.path().join("usr/lib/rabbitmq/bin/rabbitmq-server")
        );
    }

    #[test]
    fn says_what_to_do_when_nothing_is_there() {
        let (root, places) = machine(&[]);
        let nowhere = root.path().join("nowhere");
        let apt = if cfg!(target_os = "macos") {
            "brew install"
        } else {
            "apt install"
        };
        for (error, wants) in [
            (
                places.postgres(None).unwrap_err(),
                [apt, "DATABASE_URL", POSTGRES_BIN],
            ),
            (
                places.rabbitmq(None).unwrap_err(),
                [apt, "AMQP_URL", RABBITMQ_SERVER],
            ),
            (places.epmd().unwrap_err(), [apt, "AMQP_URL", "epmd"]),
            (
                places.postgres(Some(&nowhere)).unwrap_err(),
                ["nowhere", "initdb", POSTGRES_BIN],
            ),
            (
                places.rabbitmq(Some(&nowhere)).unwrap_err(),
                ["nowhere", "rabbitmq-server", RABBITMQ_SERVER],
            ),
        ] {
            let text = error.to_string();
            assert!(!text.contains('\n'), "{text}");
            for want in wants {
                assert!(text.contains(want), "`{want}` is not in: {text}");
            }
        }
    }
}
