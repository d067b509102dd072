//! Real processes that leave their group in every way there is.

use std::process::Stdio;
use std::sync::LazyLock;

use tokio::io::{AsyncBufReadExt, BufReader};

use super::*;

/// One for all tests: it takes every child of this process that it does not know for a stray.
pub(crate) static REAPER: LazyLock<Arc<Reaper>> = LazyLock::new(|| Reaper::new().unwrap());

/// A run of a shell that does `script` and then waits for the end of its standard input.
struct Shell {
    run: Run,
    child: Child,
    /// What it printed: the id of a process.
    printed: Pid,
}

impl Shell {
    async fn start(script: &str) -> Self {
        let mut run = REAPER.begin();
        let (mark, value) = run.mark();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &format!("{script}; read never")])
            .env(mark, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = run.start(&mut command).unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().unwrap();
        let printed = Pid::from_raw(line.parse().unwrap()).unwrap();
        Self {
            run,
            child,
            printed,
        }
    }

    async fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().await.unwrap();
        self.run.end().await;
    }
}

fn runs(pid: Pid) -> bool {
    processes::stat(pid).is_some_and(|stat| !stat.zombie)
}

/// Looks until the process is a child of ours.
async fn until_adopted(pid: Pid) {
    let adopted = async {
        while !processes::inherited().contains(&pid) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), adopted)
        .await
        .unwrap();
    REAPER.until(|_| true).await;
}

async fn other_run() {
    Shell::start("echo $$").await.end().await;
}

/// A daemon: its parent has ended, its session is its own.
const DAEMON: &str = "(setsid sh -c 'echo $$; exec sleep 1000 >/dev/null' &)";
/// The same without the mark.
const UNMARKED_DAEMON: &str = "(env -i setsid sh -c 'echo $$; exec sleep 1000 >/dev/null' &)";

#[tokio::test]
async fn a_daemon_is_left_alone_as_long_as_its_own_run_lasts() {
    let one = Shell::start(DAEMON).await;
    let daemon = one.printed;
    until_adopted(daemon).await;
    other_run().await;
    assert!(runs(daemon), "another run's end is not its own");
    one.end().await;
    assert_eq!(processes::stat(daemon), None, "gone, and not as a zombie");
}

#[tokio::test]
async fn a_daemon_without_a_mark_goes_with_the_last_run_that_it_may_belong_to() {
    let older = Shell::start("echo $$").await;
    let one = Shell::start(UNMARKED_DAEMON).await;
    let daemon = one.printed;
    until_adopted(daemon).await;
    assert!(
        REAPER
            .unmarked()
            .borrow()
            .iter()
            .any(|process| process.pid == daemon)
    );
    let later = Shell::start("echo $$").await;
    one.end().await;
    assert!(runs(daemon), "it may be the older run's");
    older.end().await;
    assert_eq!(
        processes::stat(daemon),
        None,
        "it cannot be the later run's"
    );
    assert!(
        REAPER
            .unmarked()
            .borrow()
            .iter()
            .all(|process| process.pid != daemon)
    );
    later.end().await;
}

#[tokio::test]
async fn what_ends_by_itself_meanwhile_is_reaped() {
    let one = Shell::start(DAEMON).await;
    let daemon = one.printed;
    until_adopted(daemon).await;
    kill_process(daemon, Signal::TERM).unwrap();
    let reaped = async {
        while processes::stat(daemon).is_some() {
            REAPER.until(|_| true).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reaped)
        .await
        .unwrap();
    one.end().await;
}

#[tokio::test]
async fn what_a_stray_has_started_goes_with_it() {
    let chain = "(setsid sh -c 'setsid sh -c \"echo \\$\\$; exec sleep 1000 >/dev/null\" & exec sleep 1000 >/dev/null' &)";
    let one = Shell::start(chain).await;
    let last = one.printed;
    assert!(runs(last));
    one.end().await;
    assert_eq!(processes::stat(last), None);
}
