//! Commands that the kernel ends because memory has run out, in a memory group (cgroup) with a limit of the test's own.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;
use taskmaster_testkit::{Process, Stack, eventually};
use tokio::process::Command;

use crate::TASKMASTER;

/// More than a worker needs, built without optimisation.
const LIMIT: &str = "268435456";

/// A memory group below the test's own. Removed with this, when everything in it has ended.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// `None` where this user may make none: only root may without further ado, and not in most containers.
    fn new() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let (parent, limit) = groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            match (fields.next()?, fields.next()?.trim_end_matches('/')) {
                ("memory", path) => Some((
                    format!("/sys/fs/cgroup/memory{path}"),
                    "memory.limit_in_bytes",
                )),
                ("", path) if fs::exists("/sys/fs/cgroup/cgroup.controllers").ok()? => {
                    Some((format!("/sys/fs/cgroup{path}"), "memory.max"))
                }
                _ => None,
            }
        })?;
        let folder = PathBuf::from(parent).join(format!("taskmaster-test-{}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let group = Self(folder);
        fs::write(group.0.join(limit), LIMIT).ok()?;
        Some(group)
    }

    /// Starts a worker in it, as whoever runs workers with a limit does.
    fn worker(&self, stack: &Stack) -> Result<Process> {
        let worker = stack.command(&["worker", "--name", "worker-1"]);
        let mut command = Command::new("/bin/sh");
        let script = "echo $$ > \"$0\" && exec \"$@\"";
        command
            .args(["-c", script])
            .arg(self.0.join("cgroup.procs"))
            .arg(TASKMASTER)
            .args(worker.as_std().get_args());
        for (name, value) in worker.as_std().get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        Process::spawn(command, &stack.folder().join("worker-1.log"))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // Empty by now, unless the test has failed.
        fs::remove_dir(&self.0).ok();
    }
}

#[tokio::test]
#[expect(
    clippy::print_stderr,
    reason = "a test that cannot be made here says so"
)]
async fn a_command_that_runs_out_of_memory_is_told_from_one_that_is_killed() -> Result<()> {
    let Some(group) = MemoryGroup::new() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI can make memory groups"
        );
        eprintln!(
            "NOT TESTED: an out-of-memory kill. No memory group can be made here: run this as root"
        );
        return Ok(());
    };
    Stack::run(TASKMASTER, async |stack| {
        let mut worker = group.worker(stack)?;
        let hog = "tail /dev/zero";
        for (task, code, signal, message) in [
            (
                json!({"argv": ["tail", "/dev/zero"]}),
                json!(null),
                json!(9),
                "killed: out of memory (killed by SIGKILL)",
            ),
            (
                json!({"command": format!("{hog}; exit $?")}),
                json!(137),
                json!(null),
                "killed: out of memory (exit code 137)",
            ),
            (
                json!({"command": format!("{hog}; exit 1")}),
                json!(1),
                json!(null),
                "a process was killed while it ran: out of memory",
            ),
            (
                json!({"command": "kill -KILL $$"}),
                json!(null),
                json!(9),
                "killed by SIGKILL",
            ),
            (
                json!({"command": "exit 137"}),
                json!(137),
                json!(null),
                "exit code 137",
            ),
            (
                json!({"command": "kill -SEGV $$"}),
                json!(null),
                json!(11),
                "killed by SIGSEGV",
            ),
        ] {
            let id = stack.api().submit(&task).await?;
            let ended = eventually("it has ended", async || {
                assert!(worker.is_running()?, "{}", worker.log());
                let task = stack.api().task(&id).await?;
                Ok(if task["status"] == "failed" {
                    Ok(task)
                } else {
                    Err(task.to_string())
                })
            })
            .await?;
            assert_eq!(
                (&ended["exit_code"], &ended["signal"]),
                (&code, &signal),
                "{ended}"
            );
            let told = ended["error_message"].as_str().context("no message")?;
            assert!(told.contains(message), "{told}");
            let blames_memory = told.contains("out of memory");
            assert_eq!(blames_memory, message.contains("out of memory"), "{told}");
        }
        worker.signal(rustix::process::Signal::TERM)?;
        assert!(worker.wait().await?.success());
        Ok(())
    })
    .await
}
