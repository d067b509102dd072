//! One child process: started, watched and ended.
//!
//! Each has a thread of its own that starts it and waits for it. That makes it independent of any tokio runtime (a server
//! that tests share outlives the test that started it), and it is what the guard needs: Linux sends the parent-death
//! signal when the *thread* that started the child ends, not the process, and this thread lives exactly as long as the child.

use std::{
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid,
};
use tokio::sync::{oneshot, watch};

use crate::orphan;

/// A running child. Dropped while it runs, it is told to stop, without waiting.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    /// Whether the pid is still ours: false once it was reaped, and may be anyone's.
    ours: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<ExitStatus>>,
    stop_signal: Signal,
}

impl Process {
    /// Starts `command` in a process group of its own (so that the terminal's Ctrl-C reaches only us) and writes its pid
    /// down in `pid_file`. `stop_signal` is what it is sent when this value is dropped.
    pub(crate) async fn spawn(
        mut command: Command,
        pid_file: PathBuf,
        stop_signal: Signal,
    ) -> io::Result<Self> {
        command.process_group(0);
        let (started, start) = oneshot::channel();
        let (exited, exit) = watch::channel(None);
        let ours = Arc::new(Mutex::new(true));
        let process = {
            let (ours, exit) = (Arc::clone(&ours), exit.clone());
            move |pid| Self {
                pid,
                ours,
                exit,
                stop_signal,
            }
        };
        thread::Builder::new()
            .name("child".to_owned())
            .spawn(move || {
                let mut child = match command.spawn() {
                    Ok(child) => child,
                    Err(error) => {
                        // Nobody waits for it any more if this fails.
                        started.send(Err(error)).ok();
                        return;
                    }
                };
                let pid = Pid::from_child(&child);
                if let Err(error) = orphan::record(&pid_file, child.id()) {
                    tracing::warn!(%error, "a child's pid could not be written down");
                }
                // When nobody waits any more, the value comes back and stops the child as it is dropped.
                started.send(Ok(process(pid))).ok();
                // Waited for, but not yet reaped: the pid and its group stay ours until what is left of the group is gone.
                waitid(
                    WaitId::Pid(pid),
                    WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
                )
                .ok();
                let mut ours = ours.lock().unwrap_or_else(PoisonError::into_inner);
                kill_process_group(pid, Signal::KILL).ok();
                let status = child.wait().unwrap_or_default();
                *ours = false;
                drop(ours);
                exited.send_replace(Some(status));
            })?;
        start
            .await
            .unwrap_or_else(|_| Err(io::Error::other("its thread ended early")))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Whether it has not ended yet.
    pub(crate) fn runs(&self) -> bool {
        self.exit.borrow().is_none()
    }

    /// Resolves when it has ended, in whatever way.
    pub(crate) fn exited(&self) -> impl Future<Output = ExitStatus> + Send + use<> {
        let mut exit = self.exit.clone();
        async move {
            match exit.wait_for(Option::is_some).await {
                Ok(status) => status.unwrap_or_default(),
                Err(_) => ExitStatus::default(),
            }
        }
    }

    /// Sends a signal to it, unless it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        if *self.ours.lock().unwrap_or_else(PoisonError::into_inner) {
            kill_process(self.pid, signal).ok();
        }
    }

    /// Sends a signal, waits for the end, and after `patience` kills its whole group.
    pub(crate) async fn end(&self, signal: Signal, patience: Duration) -> ExitStatus {
        self.signal(signal);
        if let Ok(status) = tokio::time::timeout(patience, self.exited()).await {
            return status;
        }
        tracing::warn!(process.pid = self.pid(), "it does not stop; killing it");
        self.signal(Signal::KILL);
        self.exited().await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(self.stop_signal);
    }
}
