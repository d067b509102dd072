//! Sees to it that nothing of a run is left, also not what left the command's process group: a daemon, a `setsid`.
//!
//! The worker is a *subreaper* (`PR_SET_CHILD_SUBREAPER`): a process whose parent has ended becomes the worker's child
//! instead of init's. So what a run leaves behind turns up among the worker's children, as one that the worker did not
//! start: a stray. Each run has a mark in its environment, which all that it starts inherits; a stray whose run has
//! ended is killed and reaped. (Jenkins finds what its builds left by such a variable.) A stray that has no mark, because
//! it was given an empty environment or wrote over its own, may belong to any run that was there when it turned up, and
//! goes when all of those have ended.
//!
//! It assumes that nothing else in this process starts processes. Linux only; elsewhere only the group is ended.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::processes;

/// The variable that marks all that a run starts: the worker's cookie, a colon, the number of the run.
pub(crate) const MARK: &str = "TASKMASTER_RUN";
/// Stands for the run of a stray that has no mark, and of what the worker starts for itself.
const NO_RUN: u64 = 0;
/// How often strays are looked for while nothing ends, so that those that end by themselves do not stay as zombies.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a run waits for what was killed to be gone. Longer takes only what the kernel holds on to.
const PATIENCE: Duration = Duration::from_secs(2);

/// Knows the runs that are under way, and finds what the others left.
#[derive(Debug)]
pub(crate) struct Reaper {
    cookie: String,
    /// Held for reading while a process is started, for writing while strays are looked for: a child that was started
    /// and is not noted yet would be taken for one.
    starting: RwLock<()>,
    state: Mutex<State>,
    /// How many looks were asked for, and what the last one covered: one look serves all that waited for it.
    asked: AtomicU64,
    last: tokio::sync::Mutex<Look>,
    unmarked: watch::Sender<Vec<Process>>,
}

#[derive(Debug, Default)]
struct State {
    last_run: u64,
    /// The runs under way, and when each began.
    running: HashMap<u64, Instant>,
    /// The children that this worker started, which tokio reaps, and the run of each.
    started: HashMap<Pid, u64>,
    strays: HashMap<Pid, Stray>,
}

/// A child that this worker did not start.
#[derive(Debug)]
struct Stray {
    run: u64,
    process: Process,
    since: Instant,
    /// Whether it could not be killed, and that was said.
    spared: bool,
}

#[derive(Debug, Default)]
struct Look {
    asked: u64,
    /// The runs that have ended and still have strays, which were killed.
    left: HashSet<u64>,
}

/// A process, named for good: an id alone may be someone else's by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) started: u64,
}

impl Reaper {
    /// Makes this process the one that inherits orphans.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        #[cfg(target_os = "linux")]
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        Ok(Arc::new(Self {
            cookie: format!("{:032x}", rand::random::<u128>()),
            starting: RwLock::default(),
            state: Mutex::default(),
            asked: AtomicU64::default(),
            last: tokio::sync::Mutex::default(),
            unmarked: watch::Sender::default(),
        }))
    }

    /// What the marks of this worker's runs begin with.
    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// The strays that have no mark, as they change: whoever is to find them later must be told of each.
    pub(crate) fn unmarked(&self) -> watch::Receiver<Vec<Process>> {
        self.unmarked.subscribe()
    }

    /// Begins a run. To be called before anything of it is started.
    pub(crate) fn begin(self: &Arc<Self>) -> Run {
        let mut state = self.lock();
        state.last_run += 1;
        let number = state.last_run;
        state.running.insert(number, Instant::now());
        drop(state);
        Run {
            reaper: self.clone(),
            number,
            pid: None,
        }
    }

    /// Starts a process that the worker needs itself and reaps itself.
    pub(crate) fn start(&self, command: &mut Command) -> io::Result<Child> {
        self.start_for(NO_RUN, command)
    }

    fn start_for(&self, run: u64, command: &mut Command) -> io::Result<Child> {
        let starting = self.starting.read().unwrap_or_else(PoisonError::into_inner);
        let child = command.spawn()?;
        if let Some(pid) = pid(&child) {
            self.lock().started.insert(pid, run);
        }
        drop(starting);
        Ok(child)
    }

    /// To be called when a process of [`start`](Self::start) has been reaped: its id may soon be another's.
    pub(crate) fn reaped(&self, pid: Pid) {
        self.reaped_of(NO_RUN, pid);
    }

    fn reaped_of(&self, run: u64, pid: Pid) {
        let mut state = self.lock();
        if state.started.get(&pid) == Some(&run) {
            state.started.remove(&pid);
        }
    }

    /// Looks for strays every so often until `shutdown`, and then ends every one, if nothing runs any more.
    pub(crate) async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut tick = tokio::time::interval(INTERVAL);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = tick.tick() => self.until(|_| true).await,
            };
        }
        self.until(HashSet::is_empty).await;
    }

    /// Looks for strays, and again while those that are left are not `enough`, but not for ever; returns whether they
    /// were in the end.
    async fn until(&self, enough: impl Fn(&HashSet<u64>) -> bool) -> bool {
        let begin = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let asked = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            let mut last = self.last.lock().await;
            if last.asked < asked {
                let covers = self.asked.load(Ordering::SeqCst);
                last.left = self.look();
                last.asked = covers;
            }
            if enough(&last.left) {
                return true;
            }
            drop(last);
            if begin.elapsed() > PATIENCE {
                return false;
            }
            // What was killed takes a moment to end, and only then are its own children ours.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Reaps the strays that have ended and kills those that are to go; the runs of the latter.
    fn look(&self) -> HashSet<u64> {
        let _nothing_starts = self
            .starting
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        let State {
            running,
            started,
            strays,
            ..
        } = &mut *state;
        // Nobody else reaps them, so their ids stay theirs.
        let mut found = processes::inherited();
        found.retain(|pid| !started.contains_key(pid));
        found.retain(|pid| !matches!(waitpid(Some(*pid), WaitOptions::NOHANG), Ok(Some(_))));
        strays.retain(|pid, _| found.contains(pid));
        let mut left = HashSet::new();
        for pid in found {
            let stray = strays.entry(pid).or_insert_with(|| self.stray(pid));
            let goes = if stray.run == NO_RUN {
                running.values().all(|begun| *begun > stray.since)
            } else {
                !running.contains_key(&stray.run)
            };
            if goes {
                match kill_process(pid, Signal::KILL) {
                    Ok(()) => {
                        left.insert(stray.run);
                    }
                    // Such as one that became another user's: nobody waits for it.
                    Err(error) if !stray.spared => {
                        stray.spared = true;
                        tracing::warn!(process.pid = pid.as_raw_nonzero(), %error, "what a command left cannot be killed");
                    }
                    Err(_) => {}
                }
            }
        }
        let unmarked: Vec<Process> = strays
            .values()
            .filter(|stray| stray.run == NO_RUN)
            .map(|stray| stray.process)
            .collect();
        self.unmarked.send_if_modified(|before| {
            let news = *before != unmarked;
            *before = unmarked;
            news
        });
        left
    }

    fn stray(&self, pid: Pid) -> Stray {
        let mark = processes::variable(pid, MARK);
        let run = mark.as_deref().and_then(|mark| {
            let (cookie, run) = mark.split_once(':')?;
            (cookie == self.cookie).then_some(run)?.parse().ok()
        });
        Stray {
            run: run.unwrap_or(NO_RUN),
            process: Process {
                pid,
                started: processes::stat(pid).map_or(0, |stat| stat.started),
            },
            since: Instant::now(),
            spared: false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that is under way.
#[derive(Debug)]
pub(crate) struct Run {
    reaper: Arc<Reaper>,
    number: u64,
    pid: Option<Pid>,
}

impl Run {
    /// The name and the value of the variable that its command must have.
    pub(crate) fn mark(&self) -> (&'static str, String) {
        (MARK, format!("{}:{}", self.reaper.cookie, self.number))
    }

    /// Starts its command.
    pub(crate) fn start(&mut self, command: &mut Command) -> io::Result<Child> {
        let child = self.reaper.start_for(self.number, command)?;
        self.pid = pid(&child);
        Ok(child)
    }

    /// Ends all that is left of it. To be called when its command has ended and was waited for.
    pub(crate) async fn end(mut self) {
        if let Some(pid) = self.pid.take() {
            self.reaper.reaped_of(self.number, pid);
        }
        let (reaper, number) = (self.reaper.clone(), self.number);
        drop(self);
        let gone = |left: &HashSet<u64>| !left.contains(&number) && !left.contains(&NO_RUN);
        if !reaper.until(gone).await {
            tracing::warn!("something that a command left was killed and is still there");
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.reaper.lock().running.remove(&self.number);
    }
}

/// A child's id, unless it was waited for.
pub(crate) fn pid(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id()?.cast_signed())
}

#[cfg(test)]
pub(crate) mod tests;
