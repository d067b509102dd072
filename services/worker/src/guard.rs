//! What ends a worker's runs when the worker cannot do it any more, because it was killed with SIGKILL or has crashed.
//!
//! A second process of the same executable, at the other end of a pipe: when the worker is gone, whatever the reason,
//! the pipe is closed, and the guard kills all that bears the worker's mark (see [`crate::reaper`]), what that has
//! started, and the strays without a mark that it was told of. Then it ends itself. No task costs it anything: it is
//! only told of strays without a mark, which are rare. It needs `/proc`, so there is one on Linux only.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, getpid, kill_process};
use taskmaster_runtime::Backoff;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::processes::{self, Stat};
use crate::reaper::{MARK, Process, Reaper, pid};

/// How long the guard may take to end when the worker has ended everything itself.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the guard goes on killing. Longer takes only what the kernel holds on to, or what multiplies.
const GIVE_UP: Duration = Duration::from_secs(30);
/// The pause between two looks at what is left.
const PAUSE: Duration = Duration::from_millis(5);
/// The pause between two looks when the last one found nothing.
const QUIET_PAUSE: Duration = Duration::from_millis(25);
/// For how long nothing must be found. A look can miss what is just being made: a process that has not carried out its
/// `exec` yet shows no environment, and what is forked while the ids are listed may get one that was listed already.
const QUIET: Duration = Duration::from_secs(1);
/// What a worker says that has ended all by itself, in a line of its own: then one look is enough.
const DONE: &str = "done";

/// What a worker's guard is started as: a program that calls [`guard_main`] with the arguments that follow these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardProgram {
    program: PathBuf,
    args: Vec<OsString>,
}

impl GuardProgram {
    /// The running executable with these first arguments, also when its file was replaced meanwhile. `None` where
    /// there is no `/proc`: then nothing ends the runs of a worker that is killed.
    pub fn this_executable<A: Into<OsString>>(args: impl IntoIterator<Item = A>) -> Option<Self> {
        cfg!(target_os = "linux").then(|| Self {
            program: PathBuf::from("/proc/self/exe"),
            args: args.into_iter().map(Into::into).collect(),
        })
    }

    /// Keeps a guard beside this worker until `shutdown`.
    pub(crate) async fn keep(self, reaper: Arc<Reaper>, shutdown: CancellationToken) {
        let mut unmarked = reaper.unmarked();
        let mut backoff = Backoff::default();
        while !shutdown.is_cancelled() {
            match self.start(&reaper) {
                Ok(mut guard) => {
                    let pid = pid(&guard);
                    if watch(&mut guard, &mut unmarked, &shutdown).await {
                        return;
                    }
                    tracing::warn!("the guard of this worker's runs has ended; starting another");
                    pid.into_iter().for_each(|pid| reaper.reaped(pid));
                }
                Err(error) if backoff.is_fresh() => {
                    tracing::error!(%error, "the guard cannot be started: were this worker killed now, its runs would go on");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = backoff.wait() => {}
            }
        }
    }

    fn start(&self, reaper: &Reaper) -> io::Result<Child> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .arg(reaper.cookie())
            // Other processes of the same user may read its environment, and there are passwords in ours.
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // A terminal's Ctrl-C, and who kills the worker's whole group, must not reach it.
            .process_group(0);
        reaper.start(&mut command)
    }
}

/// Tells a guard what it has to know until it ends (false) or has ended because it is not needed any more (true).
async fn watch(
    guard: &mut Child,
    unmarked: &mut watch::Receiver<Vec<Process>>,
    shutdown: &CancellationToken,
) -> bool {
    let mut pipe = guard.stdin.take();
    tokio::select! {
        _ = guard.wait() => return false,
        () = tell(pipe.as_mut(), unmarked) => {}
        () = shutdown.cancelled() => {
            if let Some(pipe) = &mut pipe {
                // One that does not hear it looks a little longer. After a line that may have been cut off.
                drop(pipe.write_all(format!("\n{DONE}\n").as_bytes()).await);
            }
        }
    }
    // This closes it.
    drop(pipe);
    if tokio::time::timeout(PATIENCE, guard.wait()).await.is_err() {
        tracing::warn!("the guard still looks for what the runs left");
    }
    shutdown.is_cancelled()
}

/// Writes each list of strays as one line. Ends when nobody reads it.
async fn tell(pipe: Option<&mut ChildStdin>, unmarked: &mut watch::Receiver<Vec<Process>>) {
    let Some(pipe) = pipe else { return };
    unmarked.mark_changed();
    while unmarked.changed().await.is_ok() {
        let line = line(&unmarked.borrow_and_update());
        if pipe.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
    // The worker's own end, which closes the pipe, is what the guard waits for.
    std::future::pending().await
}

fn line(strays: &[Process]) -> String {
    let words = strays
        .iter()
        .map(|stray| format!("{}:{}", stray.pid.as_raw_nonzero(), stray.started));
    words.collect::<Vec<_>>().join(" ") + "\n"
}

fn parse(line: &str) -> Vec<Process> {
    line.split_whitespace()
        .filter_map(|word| {
            let (pid, started) = word.split_once(':')?;
            Some(Process {
                pid: Pid::from_raw(pid.parse().ok()?)?,
                started: started.parse().ok()?,
            })
        })
        .collect()
}

/// The body of the guard's sub-command: `COOKIE`, with the pipe as its standard input. Returns when nothing of the
/// worker's runs is left.
///
/// # Errors
/// When it was started in another way, or something is left after half a minute.
pub fn guard_main(args: impl IntoIterator<Item = OsString>) -> io::Result<()> {
    let cookie = args
        .into_iter()
        .next()
        .and_then(|arg| arg.into_string().ok());
    let cookie = cookie
        .filter(|cookie| cookie.len() == 32)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "expected a worker's cookie"))?;
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(guard(&cookie))
}

async fn guard(cookie: &str) -> io::Result<()> {
    // Deaf to what asks the worker to stop, such as systemd's SIGTERM to everyone: it ends after the worker.
    let _deaf = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
        signal(SignalKind::quit())?,
    ];
    let mut unmarked = Vec::new();
    let mut quiet = QUIET;
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        if line == DONE {
            quiet = Duration::ZERO;
        } else {
            unmarked = parse(&line);
        }
    }
    let begin = Instant::now();
    let mut last_found = begin;
    let mut killed = HashSet::new();
    loop {
        let left = left(cookie, &unmarked);
        if left.is_empty() {
            if last_found.elapsed() >= quiet {
                break;
            }
            tokio::time::sleep(QUIET_PAUSE).await;
            continue;
        }
        last_found = Instant::now();
        if begin.elapsed() > GIVE_UP {
            let text = format!(
                "{} processes of a worker's runs are still there",
                left.len()
            );
            return Err(io::Error::other(text));
        }
        for pid in left {
            // It may just have ended; what may not be killed is counted above.
            kill_process(pid, Signal::KILL).ok();
            killed.insert(pid);
        }
        tokio::time::sleep(PAUSE).await;
    }
    if !killed.is_empty() {
        let (count, took) = (killed.len(), (last_found - begin).as_millis());
        writeln!(
            io::stderr(),
            "the worker is gone: killed the {count} processes that its runs left, in {took} ms"
        )
        .ok();
    }
    Ok(())
}

/// The processes that bear the mark or are known, with all that they have started.
fn left(cookie: &str, unmarked: &[Process]) -> Vec<Pid> {
    let all: Vec<(Pid, Stat)> = processes::all()
        .into_iter()
        .filter(|pid| *pid != getpid())
        .filter_map(|pid| Some((pid, processes::stat(pid)?)))
        .filter(|(_, stat)| !stat.zombie)
        .collect();
    let is_ours = |pid: Pid, stat: Stat| {
        let process = Process {
            pid,
            started: stat.started,
        };
        unmarked.contains(&process)
            || processes::variable(pid, MARK)
                .is_some_and(|mark| mark.split(':').next() == Some(cookie))
    };
    let mut ours: HashSet<Pid> = all
        .iter()
        .filter(|(pid, stat)| is_ours(*pid, *stat))
        .map(|(pid, _)| *pid)
        .collect();
    // Only groups that one of them leads: a command may have joined someone else's.
    let groups: HashSet<Pid> = ours.clone();
    loop {
        let before = ours.len();
        for (pid, stat) in &all {
            let of = |set: &HashSet<Pid>, of: Option<Pid>| of.is_some_and(|of| set.contains(&of));
            if of(&groups, stat.group) || of(&ours, stat.parent) {
                ours.insert(*pid);
            }
        }
        if ours.len() == before {
            return ours.into_iter().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_strays_is_read_as_it_was_written() {
        let process = |pid, started| Process {
            pid: Pid::from_raw(pid).unwrap(),
            started,
        };
        let strays = [process(7, 123), process(4_000_000, 0)];
        assert_eq!(parse(&line(&strays)), strays);
        assert_eq!(parse(&line(&[])), []);
    }

    #[test]
    fn a_guard_that_is_started_by_hand_says_so() {
        let error = guard_main(["x".into()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
