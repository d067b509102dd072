//! Nothing that a worker ran is left behind, whatever the command did to get away, and whatever ended it.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use taskmaster_testkit::{Process, Stack, eventually};
use tokio::process::Command;

use crate::TASKMASTER;

/// Processes of a command that try to outlive it: each sleeps for a time that nobody else sleeps for, by which it is
/// found, and holds the pipe of standard output open.
pub(crate) struct Runaways {
    seconds: String,
}

impl Runaways {
    pub(crate) fn new() -> Self {
        let seconds = format!("86{:09}", rand() % 1_000_000_000);
        Self { seconds }
    }

    /// Starts one in a session of its own, one as a daemon, one as a daemon without its environment, and one in the
    /// command's own group that ignores SIGTERM; says so, and then does `then`.
    pub(crate) fn command(&self, then: &str) -> String {
        let sleep = format!("sleep {}", self.seconds);
        format!(
            "setsid {sleep} & (setsid {sleep} &) ; (env -i setsid {sleep} &) ; \
             sh -c 'trap \"\" TERM; exec {sleep}' & {then}"
        )
    }

    /// Those that run.
    pub(crate) fn left(&self) -> Vec<u32> {
        let mut left: Vec<u32> = processes()
            .filter(|pid| arguments(*pid) == ["sleep", &self.seconds] && !is_zombie(*pid))
            .collect();
        left.sort_unstable();
        left
    }

    /// Waits until all four run.
    pub(crate) async fn all(&self) -> Result<()> {
        self.count(4).await
    }

    /// Waits until none runs any more.
    pub(crate) async fn none(&self) -> Result<()> {
        self.count(0).await
    }

    async fn count(&self, count: usize) -> Result<()> {
        eventually(&format!("{count} runaways run"), async || {
            let left = self.left();
            Ok(if left.len() == count {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            })
        })
        .await
    }
}

/// Different in every test, also in tests that run at the same time.
fn rand() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn arguments(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// State and parent.
fn stat(pid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

fn is_zombie(pid: u32) -> bool {
    stat(pid).is_none_or(|(state, _)| state == "Z")
}

/// The children of a process, zombies included.
fn children(parent: u32) -> Vec<u32> {
    let of = |pid: &u32| stat(*pid).is_some_and(|(_, its)| its == parent);
    processes().filter(of).collect()
}

/// The guard of a worker, unless there is none.
fn guard(worker: u32) -> Option<u32> {
    let guards = |pid: &u32| {
        arguments(*pid)
            .iter()
            .any(|arg| arg == "internal-worker-guard")
    };
    children(worker).into_iter().find(guards)
}

async fn until_guarded(worker: &Process) -> Result<u32> {
    let pid = worker.pid().context("the worker has ended")?;
    eventually("the worker has a guard", async || {
        Ok(guard(pid).ok_or_else(|| worker.log()))
    })
    .await
}

/// Whether it has begun to catch what asks a process to stop.
fn is_deaf(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    [Signal::TERM, Signal::INT, Signal::HUP]
        .iter()
        .all(|signal| caught.unwrap_or_default() & (1 << (signal.as_raw() - 1)) != 0)
}

/// The worker has no children but its guard: no orphan that it took in, and no zombie.
fn assert_childless(worker: &Process) -> Result<()> {
    let pid = worker.pid().context("the worker has ended")?;
    let others: Vec<_> = children(pid)
        .into_iter()
        .filter(|child| Some(*child) != guard(pid))
        .map(|child| (child, stat(child), arguments(child)))
        .collect();
    ensure!(others.is_empty(), "{others:?}");
    Ok(())
}

async fn cancel(stack: &Stack, id: &str) -> Result<()> {
    let path = format!("/api/v1/tasks/{id}/cancel");
    let (status, answer) = stack.api().post(&path, &Value::Null).await?;
    ensure!(status == 200, "{answer}");
    Ok(())
}

#[tokio::test]
async fn when_a_task_has_ended_nothing_of_it_is_left() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let worker = stack.worker("worker-1", &["--kill-grace", "1"]).await?;
        until_guarded(&worker).await?;
        let go = stack.folder().join("go");
        let wait = format!("until test -e {}; do sleep 0.05; done", go.display());
        for (ends_as, then, limit) in [
            ("completed", wait.as_str(), Value::Null),
            ("cancelled", "sleep 1000", Value::Null),
            (
                "failed",
                "trap '' TERM; while :; do sleep 1; done",
                json!(5),
            ),
        ] {
            let runaways = Runaways::new();
            let task = json!({"command": runaways.command(then), "timeout_seconds": limit});
            let id = stack.api().submit(&task).await?;
            runaways.all().await?;
            match ends_as {
                "completed" => fs::write(&go, "")?,
                "cancelled" => cancel(stack, &id).await?,
                // The time limit does it.
                _ => {}
            }
            stack.api().wait(&id, ends_as).await?;
            // The end is reported after that, so there is nothing to wait for.
            assert_eq!(runaways.left(), [0; 0], "{ends_as}");
            assert_childless(&worker)?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn when_a_worker_has_drained_nothing_is_left() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let mut worker = stack
            .worker("drained", &["--drain-grace", "0", "--kill-grace", "1"])
            .await?;
        let guard = until_guarded(&worker).await?;
        let runaways = Runaways::new();
        let command = runaways.command("trap '' TERM; while :; do sleep 1; done");
        let task = json!({"command": command, "max_attempts": 2});
        let id = stack.api().submit(&task).await?;
        runaways.all().await?;
        worker.signal(Signal::TERM)?;
        assert!(worker.wait().await?.success());
        assert_eq!(runaways.left(), [0; 0]);
        assert!(
            !Path::new(&format!("/proc/{guard}")).exists(),
            "the guard ends before its worker"
        );
        stack.api().wait(&id, "scheduled").await?;
        cancel(stack, &id).await
    })
    .await
}

#[tokio::test]
async fn when_a_worker_is_killed_nothing_is_left() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let mut worker = stack
            .worker("victim", &["--heartbeat-timeout", "2"])
            .await?;
        let pid = worker.pid().context("it has ended")?;
        let first = until_guarded(&worker).await?;
        // What stops a worker must not stop its guard before it; and one that is killed is replaced.
        for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::KILL] {
            let guard = Pid::from_raw(first.cast_signed()).context("no pid")?;
            kill_process(guard, signal)?;
        }
        let second = eventually("the worker has another guard", async || {
            let guard = guard(pid).filter(|guard| *guard != first && is_deaf(*guard));
            Ok(guard.ok_or_else(|| worker.log()))
        })
        .await?;
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            kill_process(
                Pid::from_raw(second.cast_signed()).context("no pid")?,
                signal,
            )?;
        }

        let runaways = Runaways::new();
        let id = stack
            .api()
            .submit(&json!({"command": runaways.command("sleep 1000")}))
            .await?;
        runaways.all().await?;
        // As another run ends, the worker sees what it has taken in, and tells its guard what has no mark.
        let other = stack.api().submit(&json!({"command": "true"})).await?;
        stack.api().wait(&other, "completed").await?;

        worker.kill().await?;
        runaways.none().await?;
        eventually("the guard has ended", async || {
            Ok(if is_zombie(second) {
                Ok(())
            } else {
                Err(second.to_string())
            })
        })
        .await?;
        let log = worker.log();
        assert!(log.contains("the worker is gone: killed the"), "{log}");
        let task = stack.api().wait(&id, "failed").await?;
        let message = task["error_message"].as_str().unwrap_or_default();
        assert!(message.contains("victim was lost"), "{task}");
        Ok(())
    })
    .await
}

/// A look at the processes misses one that has not carried out its `exec` yet: its mark cannot be seen.
#[tokio::test]
async fn what_was_just_being_started_when_its_worker_was_killed_is_not_left() -> Result<()> {
    let cookie = format!("{:032x}", rand());
    let mut guard = Command::new(TASKMASTER)
        .args(["internal-worker-guard", &cookie])
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let seconds = format!("87{:09}", rand() % 1_000_000_000);
    let mark = format!("TASKMASTER_RUN={cookie}:1");
    // It has the mark for as long as it sleeps, and not before.
    let exec = format!("exec env {mark} sleep {seconds}");
    let left = || {
        let ours = processes().filter(|pid| arguments(*pid) == ["sleep", &seconds]);
        ours.filter(|pid| !is_zombie(*pid)).count()
    };
    let mut seen = Command::new("sh").args(["-c", &exec]).spawn()?;
    eventually("it sleeps", async || {
        Ok(if left() == 1 {
            Ok(())
        } else {
            Err(left().to_string())
        })
    })
    .await?;
    drop(guard.stdin.take());
    seen.wait().await?;
    // The guard has looked. How long a start may take is what is tested here.
    let mut late = Command::new("sh")
        .args(["-c", &format!("sleep 0.2; {exec}")])
        .spawn()?;
    assert!(guard.wait().await?.success());
    assert_eq!(left(), 0);
    assert_eq!(late.try_wait()?.and_then(|status| status.signal()), Some(9));
    Ok(())
}
