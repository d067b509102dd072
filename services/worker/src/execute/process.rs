//! A command as a process: in a group of its own, so that all of it can be stopped; its output read as it comes. What
//! leaves the group is the reaper's matter.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::PoisonError;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group};
use taskmaster_store::output::Stream;
use taskmaster_store::start::Started;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::task::{AbortHandle, JoinSet};

use super::{End, Exit, Settings, SharedCapture};
use crate::reaper::{Run, pid};
use crate::stop::{Stop, StopReason};

/// What a worker is configured with is not the command's business: these, and all that begin with `TASKMASTER_`.
const SECRETS: [&str; 6] = [
    "DATABASE_URL",
    "AMQP_URL",
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICEFILE",
    "PGSSLKEY",
];
/// After the command has exited, what it left running may go on printing for this long, and is then killed.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// How often a start is tried that the machine has no room for just now.
const SPAWN_ATTEMPTS: u32 = 50;
/// The pause between two of those.
const SPAWN_PAUSE: Duration = Duration::from_millis(200);

pub(super) async fn run(
    started: &Started,
    settings: &Settings,
    capture: &SharedCapture,
    mut stop: Stop,
) -> End {
    let mut run = settings.reaper.begin();
    let oom_kills = settings.oom_kills.count();
    let mut child = match spawn(&mut run, command(started, settings)).await {
        Ok(child) => child,
        Err(reason) => return End::CouldNotStart(reason),
    };
    let group = pid(&child);
    let mut pipes = JoinSet::new();
    if let Some(pipe) = child.stdout.take() {
        pipes.spawn(read(pipe, Stream::Stdout, capture.clone()));
    }
    if let Some(pipe) = child.stderr.take() {
        pipes.spawn(read(pipe, Stream::Stderr, capture.clone()));
    }
    let feeder = feed(&mut child, started.stdin.as_ref());

    let limit = started
        .timeout_seconds
        .map(|seconds| Duration::from_secs(seconds.into()));
    let mut end = tokio::select! {
        status = child.wait() => End::Exited(exit(status)),
        () = until(limit) => {
            End::TimedOut(terminate(&mut child, group, settings.kill_grace, &mut stop).await)
        }
        reason = stop.told() => {
            End::Stopped(reason, terminate(&mut child, group, settings.kill_grace, &mut stop).await)
        }
    };
    if let End::TimedOut(exit) | End::Stopped(_, exit) = end
        && stop.is_lease_lost()
    {
        end = End::Stopped(StopReason::LeaseLost, exit);
    }
    if let End::Exited(exit) = &mut end
        && exit.code != Some(0)
    {
        exit.out_of_memory = settings.oom_kills.count() > oom_kills;
    }
    if let Some(feeder) = feeder {
        feeder.abort();
    }
    if !stop.is_lease_lost() {
        let leftover = tokio::time::timeout(LEFTOVER_GRACE, async {
            while pipes.join_next().await.is_some() {}
        });
        if leftover.await.is_err() {
            tracing::debug!(task.id = %started.task.id, "the command left processes behind");
        }
    }
    signal(group, Signal::KILL);
    run.end().await;
    // Something that may not be killed could hold the pipes for ever: nothing of it is read any more.
    pipes.shutdown().await;
    end
}

/// Starts the command. Where the machine lacks processes, descriptors or memory for it just now, that is not the
/// task's fault: it is tried again for a while.
async fn spawn(run: &mut Run, mut command: Command) -> Result<Child, String> {
    let (mark, value) = run.mark();
    command.env(mark, value);
    let mut attempts = 0;
    loop {
        match run.start(&mut command) {
            Ok(child) => return Ok(child),
            Err(error) if attempts < SPAWN_ATTEMPTS && is_shortage(&error) => {
                if attempts == 0 {
                    tracing::warn!(%error, "cannot start a command just now, tries again");
                }
                attempts += 1;
                tokio::time::sleep(SPAWN_PAUSE).await;
            }
            Err(error) => {
                let program = command.as_std().get_program().to_string_lossy();
                return Err(format!("cannot start {program}: {error}"));
            }
        }
    }
}

fn is_shortage(error: &std::io::Error) -> bool {
    [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM]
        .iter()
        .any(|shortage| error.raw_os_error() == Some(shortage.raw_os_error()))
}

fn command(started: &Started, settings: &Settings) -> Command {
    let mut command = match started.argv.as_deref() {
        Some([program, arguments @ ..]) => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        Some([]) | None => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(&started.command);
            command
        }
    };
    for (name, _) in std::env::vars_os() {
        if SECRETS.iter().any(|secret| name == *secret)
            || name.to_string_lossy().starts_with("TASKMASTER_")
        {
            command.env_remove(name);
        }
    }
    command
        .envs(started.env.iter().map(|(name, value)| (name, value)))
        .env("TASKMASTER_TASK_ID", started.task.id.to_string())
        .env("TASKMASTER_ATTEMPT", started.attempt.to_string())
        .env("TASKMASTER_LEASE", started.task.lease.to_string())
        .env("TASKMASTER_WORKER", &settings.worker_name)
        .stdin(if started.stdin.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

fn feed(child: &mut Child, stdin: Option<&String>) -> Option<AbortHandle> {
    let (mut pipe, stdin) = (child.stdin.take()?, stdin?.clone());
    let feeding = async move {
        // A command need not read what it is given.
        drop(pipe.write_all(stdin.as_bytes()).await);
    };
    Some(tokio::spawn(feeding).abort_handle())
}

async fn read(mut pipe: impl AsyncRead + Unpin, stream: Stream, capture: SharedCapture) {
    // Most commands print little or nothing.
    let mut buffer = vec![0; 512];
    while let Ok(read) = pipe.read(&mut buffer).await
        && read > 0
    {
        capture
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(stream, &buffer[..read]);
        if read == buffer.len() {
            buffer.resize(16 * 1024, 0);
        }
        // Where many print all they can, the rest of the worker, such as its heartbeat, gets its turn all the same.
        tokio::task::yield_now().await;
    }
}

async fn until(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Asks the whole group to end, and makes it after the grace period; at once when the lease is lost, because whoever
/// has the task now may have started it already.
async fn terminate(
    child: &mut Child,
    group: Option<Pid>,
    grace: Duration,
    stop: &mut Stop,
) -> Exit {
    if !stop.is_lease_lost() {
        signal(group, Signal::TERM);
        tokio::select! {
            status = child.wait() => return exit(status),
            () = tokio::time::sleep(grace) => {}
            () = stop.lease_lost() => {}
        }
    }
    signal(group, Signal::KILL);
    exit(child.wait().await)
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, signal)
        && error != Errno::SRCH
    {
        tracing::warn!(%error, "a command's processes could not be signalled");
    }
}

fn exit(status: std::io::Result<ExitStatus>) -> Exit {
    match status {
        Ok(status) => Exit {
            code: status.code(),
            signal: status.signal(),
            out_of_memory: false,
        },
        Err(error) => {
            tracing::warn!(%error, "how a command ended could not be read");
            Exit::default()
        }
    }
}

#[cfg(test)]
mod tests;
