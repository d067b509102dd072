//! Owners that stop, that are killed, and that are not root: the example `owner`, in a process of its own.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::{Command as StdCommand, Stdio},
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{
    folder,
    processes::{family, gone, group},
};

/// A running owner.
struct Owner {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Owner {
    fn start(folder: &Path, guard: &str, shape: impl FnOnce(&mut StdCommand)) -> Self {
        // Beside the folder that this test binary is in.
        let program = std::env::current_exe().unwrap();
        let program = program.ancestors().nth(2).unwrap().join("examples/owner");
        assert!(
            program.exists(),
            "build it first: cargo build --example owner"
        );
        let mut command = StdCommand::new(program);
        command.arg(folder).arg(guard);
        shape(&mut command);
        let mut child = Command::from(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn line(&mut self) -> String {
        self.lines.next_line().await.unwrap().unwrap()
    }

    /// Waits until both are ready; returns the pids of the server, the node and its port mapper.
    async fn ready(&mut self) -> [u32; 3] {
        let line = self.line().await;
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("ready"), "{line}");
        [(); 3].map(|()| words.next().unwrap().parse().unwrap())
    }
}

/// Kills an owner with SIGKILL and sees that its servers end with it.
async fn killed_with_its_servers(mut owner: Owner, pids: [u32; 3]) {
    let own = group(owner.child.id().unwrap());
    for pid in pids {
        assert_eq!(group(pid), pid, "the terminal's Ctrl-C must not reach it");
        assert_ne!(group(pid), own);
    }
    let all: Vec<u32> = pids.iter().flat_map(|pid| family(*pid)).collect();
    owner.child.kill().await.unwrap();
    gone(&all).await;
}

#[tokio::test]
async fn killed_owner_leaves_nothing_under_setpriv() {
    let folder = folder();
    let mut owner = Owner::start(folder.path(), "setpriv", |_| {});
    let pids = owner.ready().await;
    killed_with_its_servers(owner, pids).await;
}

/// Without a guard the servers stay, and the next start sees them off before it touches their data.
#[tokio::test]
async fn next_owner_ends_what_an_unguarded_one_left_and_leaves_nothing_itself() {
    let folder = folder();
    let mut first = Owner::start(folder.path(), "unguarded", |_| {});
    let left = first.ready().await;
    first.child.kill().await.unwrap();
    let mut second = Owner::start(folder.path(), "guarded", |_| {});
    let pids = second.ready().await;
    gone(&left).await;
    killed_with_its_servers(second, pids).await;
}

/// Who is not root runs both as themselves; who is root runs them as someone else. Both stop in order when told.
#[tokio::test]
async fn ordinary_user_starts_and_stops_both() {
    let folder = folder();
    let root = rustix::process::geteuid().is_root();
    let nobody = 65_534;
    if root {
        chown(folder.path(), Some(nobody), Some(nobody)).unwrap();
    }
    let mut owner = Owner::start(folder.path(), "guarded", |command| {
        if root {
            command.uid(nobody).gid(nobody).current_dir("/");
        }
    });
    let pids = owner.ready().await;
    let all: Vec<u32> = pids.iter().flat_map(|pid| family(*pid)).collect();
    for pid in pids {
        let user = |pid| {
            fs::read_to_string(format!("/proc/{pid}/status"))
                .unwrap()
                .lines()
                .find(|line| line.starts_with("Uid:"))
                .unwrap()
                .to_owned()
        };
        assert_eq!(user(pid), user(owner.child.id().unwrap()));
    }
    drop(owner.child.stdin.take());
    assert_eq!(owner.line().await, "stopped");
    assert!(owner.child.wait().await.unwrap().success());
    gone(&all).await;
}

#[tokio::test]
async fn programs_named_in_the_environment_must_be_there() {
    let folder = folder();
    for (name, wants) in [
        (
            "TASKMASTER_POSTGRES_BIN",
            "error PostgreSQL was not found: /nowhere",
        ),
        (
            "TASKMASTER_RABBITMQ_SERVER",
            "error RabbitMQ was not found: /nowhere",
        ),
    ] {
        let mut owner = Owner::start(folder.path(), "guarded", |command| {
            command.env(name, OsStr::new("/nowhere"));
        });
        let line = owner.line().await;
        assert!(line.starts_with(wants), "{line}");
        assert!(line.contains(name), "{line}");
        owner.child.wait().await.unwrap();
    }
}
