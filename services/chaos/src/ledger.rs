//! What commands say they did, written by themselves, outside the system: one line for each beginning and end.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::SplitAsciiWhitespace;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use taskmaster_core::TaskLease;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, BufReader};

/// How often it is looked whether there is more.
const LOOK: Duration = Duration::from_millis(5);

/// A command that began to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The number of its submission.
    pub(crate) number: u64,
    /// The claim it runs under, as it was told.
    pub(crate) task: TaskLease,
    /// Which start it is, as it was told.
    pub(crate) attempt: i32,
    /// Who runs it.
    pub(crate) worker: String,
    /// When that was seen here.
    pub(crate) seen: Instant,
}

#[derive(Debug, Default)]
struct Lines {
    runs: Vec<Run>,
    ends: HashMap<TaskLease, u32>,
    unread: Vec<String>,
}

/// The ledger, read as it grows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Lines>>);

impl Ledger {
    /// Reads the file at `path` from now on, until the returned future is dropped.
    pub(crate) async fn follow(&self, path: PathBuf) {
        let file = loop {
            match File::open(&path).await {
                Ok(file) => break file,
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        };
        let mut file = BufReader::new(file);
        let mut line = String::new();
        loop {
            match file.read_line(&mut line).await {
                Ok(read) if read > 0 && line.ends_with('\n') => {
                    self.read(line.trim_end());
                    line.clear();
                }
                // The rest of the line is still to come.
                Ok(_) => tokio::time::sleep(LOOK).await,
                Err(error) => {
                    self.lock().unread.push(error.to_string());
                    return;
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, line: &str) {
        let mut lines = self.lock();
        let mut words = line.split_ascii_whitespace();
        let known = match words.next() {
            Some("S") => parse_run(&mut words).map(|run| lines.runs.push(run)),
            Some("E") => {
                parse_task(&mut words).map(|task| *lines.ends.entry(task).or_default() += 1)
            }
            _ => None,
        };
        if known.is_none() {
            lines.unread.push(line.to_owned());
        }
    }

    /// Every beginning so far, in order.
    pub(crate) fn runs(&self) -> Vec<Run> {
        self.lock().runs.clone()
    }

    /// How many beginnings there are so far.
    pub(crate) fn len(&self) -> usize {
        self.lock().runs.len()
    }

    /// When the first such one was seen since then.
    pub(crate) fn first_since(
        &self,
        since: Instant,
        is_such: impl Fn(&Run) -> bool,
    ) -> Option<Instant> {
        let lines = self.lock();
        let start = lines.runs.partition_point(|run| run.seen < since);
        let found = lines.runs[start..].iter().find(|run| is_such(run));
        found.map(|run| run.seen)
    }

    /// How often each claim's command came to its end by itself.
    pub(crate) fn ends(&self) -> HashMap<TaskLease, u32> {
        self.lock().ends.clone()
    }

    /// Lines that no command of ours wrote.
    pub(crate) fn unread(&self) -> Vec<String> {
        self.lock().unread.clone()
    }
}

fn parse_task(words: &mut SplitAsciiWhitespace<'_>) -> Option<TaskLease> {
    let id = words.next()?.parse().ok()?;
    let lease = words.next()?.parse().ok()?;
    Some(TaskLease { id, lease })
}

fn parse_run(words: &mut SplitAsciiWhitespace<'_>) -> Option<Run> {
    let number = words.next()?.parse().ok()?;
    let task = parse_task(words)?;
    Some(Run {
        number,
        task,
        attempt: words.next()?.parse().ok()?,
        worker: words.next()?.to_owned(),
        seen: Instant::now(),
    })
}
