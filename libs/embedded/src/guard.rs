//! Ties a child's life to ours, also when we are killed with SIGKILL and can stop nothing any more.
//!
//! Linux sends a process the signal it asked for when its parent dies (`PR_SET_PDEATHSIG`), and the setting survives
//! `exec`. So a child is started through a small program that asks for it and then becomes the real one. It is started as the
//! child's own user already, because a change of user clears the setting.

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;

/// What starts the servers, so that they end with us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// `setpriv` of util-linux, which every Debian has; nothing when it is not there. For tests and xtask.
    #[default]
    Setpriv,
    /// A program that calls [`guard_main`] with the arguments that follow `args`: a hidden sub-command of ours. Unlike
    /// `setpriv` it also notices an owner that died before it was asked.
    ///
    /// The user that the servers run as must be able to execute it: see [`Guard::this_executable`].
    Executable {
        /// The program.
        program: PathBuf,
        /// What leads it to [`guard_main`], for example the sub-command's name.
        args: Vec<OsString>,
    },
    /// Nothing: the servers outlive an owner that is killed with SIGKILL, until the next start on the same folder.
    None,
}

impl Guard {
    /// The running executable with these first arguments.
    ///
    /// On Linux by `/proc/self/exe`, which also works when the servers' user cannot enter the folder it lies in
    /// (root's `cargo run` below a home folder), and when the file was replaced meanwhile.
    pub fn this_executable<A: Into<OsString>>(args: impl IntoIterator<Item = A>) -> Self {
        let program = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe().unwrap_or_default()
        };
        Self::Executable {
            program,
            args: args.into_iter().map(Into::into).collect(),
        }
    }

    /// A command that becomes `program`, and gets `signal` when we die: more exactly, when the thread ends that starts it.
    #[must_use]
    pub fn command(&self, signal: Signal, program: &Path) -> Command {
        let mut command = match self {
            Self::Executable { program, args } => {
                let mut command = Command::new(program);
                command
                    .args(args)
                    .arg("--parent")
                    .arg(std::process::id().to_string())
                    .arg("--signal")
                    .arg(name(signal));
                command
            }
            Self::Setpriv if cfg!(target_os = "linux") => match setpriv() {
                Some(setpriv) => {
                    let mut command = Command::new(setpriv);
                    command.arg("--pdeathsig").arg(name(signal));
                    command
                }
                None => return Command::new(program),
            },
            Self::Setpriv | Self::None => return Command::new(program),
        };
        command.arg("--").arg(program);
        command
    }
}

/// The body of the guard's sub-command: `--parent PID --signal INT|TERM|QUIT|KILL -- PROGRAM ARGS…`.
///
/// Becomes the program and does not come back, except with the reason why it could not: print it and exit with 127.
pub fn guard_main(args: impl IntoIterator<Item = OsString>) -> io::Error {
    match parse(args) {
        Some(parsed) => become_program(parsed),
        None => io::Error::new(
            io::ErrorKind::InvalidInput,
            "expected --parent PID --signal NAME -- PROGRAM ARGS…",
        ),
    }
}

struct Parsed {
    parent: i32,
    signal: Signal,
    program: OsString,
    args: Vec<OsString>,
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Option<Parsed> {
    let mut args = args.into_iter();
    let (mut parent, mut signal) = (None, None);
    loop {
        match args.next()?.to_str()? {
            "--parent" => parent = args.next()?.to_str()?.parse().ok(),
            "--signal" => signal = from_name(args.next()?.to_str()?),
            "--" => break,
            _ => return None,
        }
    }
    Some(Parsed {
        parent: parent?,
        signal: signal?,
        program: args.next()?,
        args: args.collect(),
    })
}

fn become_program(parsed: Parsed) -> io::Error {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(parsed.signal)) {
        return error.into();
    }
    #[cfg(not(target_os = "linux"))]
    let _: Signal = parsed.signal;
    // It may have died before the signal was asked for.
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if parent != Some(parsed.parent) {
        return io::Error::other("the owner is gone");
    }
    Command::new(parsed.program).args(parsed.args).exec()
}

fn setpriv() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .chain([PathBuf::from("/usr/bin")])
        .map(|folder| folder.join("setpriv"))
        .find(|file| file.is_file())
}

const NAMES: [(&str, Signal); 4] = [
    ("INT", Signal::INT),
    ("TERM", Signal::TERM),
    ("QUIT", Signal::QUIT),
    ("KILL", Signal::KILL),
];

fn name(signal: Signal) -> &'static str {
    NAMES
        .iter()
        .find(|(_, named)| *named == signal)
        .map_or("KILL", |(name, _)| name)
}

fn from_name(text: &str) -> Option<Signal> {
    NAMES
        .iter()
        .find(|(name, _)| *name == text)
        .map(|(_, signal)| *signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(args: &[&str]) -> io::Error {
        guard_main(args.iter().map(OsString::from))
    }

    #[test]
    fn refuses_arguments_that_are_not_its_own() {
        for args in [
            &[][..],
            &["--parent", "1"],
            &["--parent", "x", "--signal", "INT", "--", "true"],
            &["--parent", "1", "--signal", "USR1", "--", "true"],
            &["--parent", "1", "--signal", "INT", "--"],
        ] {
            assert_eq!(error(args).kind(), io::ErrorKind::InvalidInput, "{args:?}");
        }
    }

    #[test]
    fn does_not_start_for_an_owner_that_is_gone() {
        // Our parent is the test runner, never pid 2 (a kernel thread, or nobody in a container).
        let error = error(&["--parent", "2", "--signal", "INT", "--", "true"]);
        assert_eq!(error.to_string(), "the owner is gone");
    }
}
