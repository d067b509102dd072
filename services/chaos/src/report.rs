//! What came out of it.

use std::fmt;

use serde::Serialize;

use crate::fault::{Fault, Recoveries, median};
use crate::verify::Outcome;

/// The result of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The seed it was done with.
    pub seed: u64,
    /// How long it was submitted and harmed.
    pub seconds: f64,
    /// Submissions a second, in the mean.
    pub rate: f64,
    /// What became of them.
    pub outcome: Outcome,
    /// Submissions that were made again: their fate was not known, or there was a 503.
    pub tried_again: u64,
    /// Answers of 503.
    pub unavailable: u64,
    /// Submissions that turned out to have been accepted before.
    pub replayed: u64,
    /// Messages that had to be published again because their queue had been deleted.
    pub republished: u64,
    /// Results that were refused because their worker had lost the lease.
    pub stale_results: usize,
    /// By kind of harm.
    pub recoveries: Vec<Recovery>,
    /// Kinds of harm that could not be done on this machine, and why.
    pub not_done: Vec<String>,
    /// Everything that must not be. Empty: the promise was kept.
    pub violations: Vec<String>,
}

/// How long the system took to work again after one kind of harm.
#[derive(Debug, Clone, Serialize)]
pub struct Recovery {
    /// Its name.
    pub fault: String,
    /// What was done.
    pub does: &'static str,
    /// What the times are.
    pub measured: &'static str,
    /// How often it was done.
    pub times: usize,
    /// In milliseconds.
    pub median_ms: u64,
    /// In milliseconds.
    pub worst_ms: u64,
}

pub(crate) fn recoveries(recoveries: &Recoveries) -> Vec<Recovery> {
    let row = |fault: &Fault, times: &Vec<u64>| Recovery {
        fault: fault.to_string(),
        does: fault.does(),
        measured: fault.recovered(),
        times: times.len(),
        median_ms: median(times),
        worst_ms: times.iter().copied().max().unwrap_or(0),
    };
    let all = recoveries.0.iter();
    all.map(|(fault, times)| row(fault, times)).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = &self.outcome;
        writeln!(
            f,
            "seed {}: {:.0} s at {:.0} tasks/s",
            self.seed, self.seconds, self.rate
        )?;
        writeln!(
            f,
            "\n{:<40} {:>5} {:>9} {:>9}",
            "recovery (ms)", "times", "median", "worst"
        )?;
        for row in &self.recoveries {
            writeln!(
                f,
                "{:<40} {:>5} {:>9} {:>9}",
                row.fault, row.times, row.median_ms, row.worst_ms
            )?;
        }
        for not_done in &self.not_done {
            writeln!(f, "NOT DONE {not_done}")?;
        }
        writeln!(f)?;
        let rows: [(&str, u64); 18] = [
            ("accepted", outcome.accepted as u64),
            ("completed", outcome.completed as u64),
            ("failed, as they had to", outcome.failed as u64),
            ("cancelled", outcome.cancelled as u64),
            ("runs", outcome.runs as u64),
            ("attempts superseded by another", outcome.superseded as u64),
            ("submissions made again", self.tried_again),
            ("  of which were accepted before", self.replayed),
            ("  answered 503", self.unavailable),
            ("messages published again", self.republished),
            ("stale results refused", self.stale_results as u64),
            ("lost", outcome.lost as u64),
            ("doubled tasks", outcome.doubled_tasks as u64),
            ("doubled ends", outcome.doubled_ends as u64),
            ("doubled runs of one claim", outcome.doubled_runs as u64),
            (
                "runs without a committed start",
                outcome.runs_without_start as u64,
            ),
            ("one attempt, started again", outcome.started_again as u64),
            (
                "ends that are not true",
                (outcome.false_ends + outcome.wrong_ends) as u64,
            ),
        ];
        for (what, count) in rows {
            writeln!(f, "{what:<40} {count:>9}")?;
        }
        for violation in &self.violations {
            writeln!(f, "VIOLATION {violation}")?;
        }
        match self.violations.len() {
            0 => write!(f, "\nno violation"),
            count => write!(f, "\n{count} violations"),
        }
    }
}
