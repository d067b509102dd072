//! A command as a process: in a group of its own, so that all of it can be stopped; its output read as it comes.

use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::PoisonError;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use taskmaster_store::output::Stream;
use taskmaster_store::start::Started;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{End, Exit, Settings, SharedCapture};
use crate::held::StopReason;

/// What a worker is configured with is not the command's business: these, and all that begin with `TASKMASTER_`.
const SECRETS: [&str; 2] = ["DATABASE_URL", "AMQP_URL"];
/// After the command has exited, what it left running may go on printing for this long, and is then killed.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);

pub(super) async fn run(
    started: &Started,
    settings: &Settings,
    capture: &SharedCapture,
    mut stop: oneshot::Receiver<StopReason>,
) -> End {
    let mut command = command(started, settings);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let program = command.as_std().get_program().to_string_lossy();
            return End::CouldNotStart(format!("cannot start {program}: {error}"));
        }
    };
    let group = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let readers = [
        child
            .stdout
            .take()
            .map(|pipe| read(pipe, Stream::Stdout, capture.clone())),
        child
            .stderr
            .take()
            .map(|pipe| read(pipe, Stream::Stderr, capture.clone())),
    ];
    feed(&mut child, started.stdin.clone());

    let limit = started
        .timeout_seconds
        .map(|seconds| Duration::from_secs(seconds.into()));
    let end = tokio::select! {
        status = child.wait() => End::Exited(exit(status)),
        () = until(limit) => End::TimedOut(terminate(&mut child, group, settings.kill_grace).await),
        Ok(reason) = &mut stop => {
            // Whoever has it now may have started it already: there is no time to ask nicely.
            let grace = if reason == StopReason::LeaseLost { Duration::ZERO } else { settings.kill_grace };
            End::Stopped(reason, terminate(&mut child, group, grace).await)
        }
    };
    let leftover = tokio::time::timeout(LEFTOVER_GRACE, async {
        for reader in readers.into_iter().flatten() {
            // A reader that failed has read what there was.
            drop(reader.await);
        }
    });
    let kept_open = leftover.await.is_err();
    if kept_open {
        tracing::debug!(task.id = %started.task.id, "the command left processes behind");
    }
    signal(group, Signal::KILL);
    end
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

fn feed(child: &mut Child, stdin: Option<String>) {
    if let (Some(mut pipe), Some(stdin)) = (child.stdin.take(), stdin) {
        tokio::spawn(async move {
            // A command need not read what it is given.
            drop(pipe.write_all(stdin.as_bytes()).await);
        });
    }
}

fn read<R>(mut pipe: R, stream: Stream, capture: SharedCapture) -> JoinHandle<()>
where
    R: AsyncRead + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read) = pipe.read(&mut buffer).await
            && read > 0
        {
            capture
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(stream, &buffer[..read]);
        }
    })
}

async fn until(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// Asks the whole group to end, and makes it after the grace period.
async fn terminate(child: &mut Child, group: Option<Pid>, grace: Duration) -> Exit {
    if !grace.is_zero() {
        signal(group, Signal::TERM);
        if let Ok(status) = tokio::time::timeout(grace, child.wait()).await {
            return exit(status);
        }
    }
    signal(group, Signal::KILL);
    exit(child.wait().await)
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group
        && let Err(error) = kill_process_group(group, signal)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(%error, "a command's processes could not be signalled");
    }
}

fn exit(status: std::io::Result<ExitStatus>) -> Exit {
    match status {
        Ok(status) => Exit {
            code: status.code(),
            signal: status.signal(),
        },
        Err(error) => {
            tracing::warn!(%error, "how a command ended could not be read");
            Exit::default()
        }
    }
}

#[cfg(test)]
mod tests;
