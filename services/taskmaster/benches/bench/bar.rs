//! The bar: what each figure must reach, and what it aims at.

use std::fmt::Write;

use crate::figures::{Report, shown};

/// A row of the bar that was measured.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) row: &'static str,
    pub(crate) measured: f64,
    must: Wanted,
    aim: Wanted,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
    /// Only aimed at.
    Anything,
}

impl Wanted {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
            Self::Anything => true,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtLeast(limit) => format!("≥ {limit}"),
            Self::AtMost(limit) => format!("≤ {limit}"),
            Self::Anything => "—".to_owned(),
        }
    }
}

impl Verdict {
    pub(crate) fn is_met(&self) -> bool {
        self.must.is_met(self.measured)
    }
}

/// The rows of which something was measured.
pub(crate) fn judge(report: &Report) -> Vec<Verdict> {
    use Wanted::{Anything, AtLeast, AtMost};
    let share = |name| report.get(name)?.share_of_limit;
    let median = |name| report.median(name);
    let memory = ["coordinator", "API", "worker"].into_iter();
    let memory = memory.filter_map(|kind| {
        let peaks = &report.get(&format!("memory at its peak: {kind}"))?.runs;
        Some(peaks.iter().copied().fold(0.0, f64::max))
    });
    [
        (
            "sustained: share of the limit",
            share("sustained"),
            AtLeast(0.5),
            AtLeast(0.5),
        ),
        (
            "drain: share of the limit",
            share("drain"),
            AtLeast(0.6),
            AtLeast(0.6),
        ),
        (
            "latency idle: p50, ms",
            median("latency idle, call to committed start: p50"),
            AtMost(5.0),
            AtMost(2.5),
        ),
        (
            "latency idle: p99, ms",
            median("latency idle, call to committed start: p99"),
            AtMost(15.0),
            AtMost(6.0),
        ),
        (
            "latency at half the sustained rate: p99, ms",
            median("latency at half the sustained rate, call to committed start: p99"),
            AtMost(100.0),
            AtMost(40.0),
        ),
        (
            "/bin/true against fork, exec and wait alone",
            median("/bin/true: as tasks, 64 slots, against alone"),
            AtLeast(0.7),
            AtLeast(0.9),
        ),
        (
            "idle: % of a core",
            median("idle: coordinator, API and 10 workers"),
            AtMost(2.0),
            AtMost(0.5),
        ),
        (
            "memory: the most of any process, MiB",
            memory.reduce(f64::max),
            AtMost(40.0),
            AtMost(20.0),
        ),
        (
            "lives with nothing finished against 10 million",
            median("size: empty against 10 million finished"),
            AtMost(1.2),
            AtMost(1.0),
        ),
        (
            "slowest answer with a long history: p99, ms",
            median("size: the slowest answer: p99"),
            AtMost(25.0),
            AtMost(5.0),
        ),
        (
            "a transaction held open, against without",
            median("hostile: a transaction held open, against nothing else"),
            AtLeast(0.7),
            AtLeast(0.9),
        ),
        (
            "twice the supply, against its own rate",
            median("hostile: twice the supply, against nothing else"),
            AtLeast(0.7),
            AtLeast(0.9),
        ),
        (
            "after all that, against before",
            median("hostile: after all that, against nothing else"),
            AtLeast(0.7),
            AtLeast(0.9),
        ),
        (
            "sustained against pg-boss",
            median("peers: sustained, TaskMaster against pg-boss"),
            AtLeast(1.0),
            AtLeast(1.0),
        ),
        (
            "sustained against apalis-postgres",
            median("peers: sustained, TaskMaster against apalis-postgres"),
            AtLeast(1.0),
            AtLeast(1.0),
        ),
        (
            "sustained against graphile-worker",
            median("peers: sustained, TaskMaster against graphile-worker"),
            Anything,
            AtLeast(1.0),
        ),
        (
            "drain against pg-boss",
            median("peers: drain, TaskMaster against pg-boss"),
            AtLeast(1.0),
            AtLeast(1.0),
        ),
        (
            "drain against apalis-postgres",
            median("peers: drain, TaskMaster against apalis-postgres"),
            AtLeast(1.0),
            AtLeast(1.0),
        ),
        (
            "drain against graphile-worker",
            median("peers: drain, TaskMaster against graphile-worker"),
            Anything,
            AtLeast(1.0),
        ),
        (
            "sustained against Celery",
            median("peers: sustained, TaskMaster against Celery"),
            AtLeast(50.0),
            AtLeast(100.0),
        ),
    ]
    .into_iter()
    .filter_map(|(row, measured, must, aim)| {
        Some(Verdict {
            row,
            measured: measured?,
            must,
            aim,
        })
    })
    .collect()
}

/// The verdicts, in Markdown.
pub(crate) fn table(verdicts: &[Verdict]) -> String {
    let mut table = "| the bar | measured | must | aim | |\n|---|---|---|---|---|\n".to_owned();
    for verdict in verdicts {
        let met = match (verdict.must, verdict.aim.is_met(verdict.measured)) {
            _ if !verdict.is_met() => "missed",
            (Wanted::Anything, false) => "not the aim",
            (Wanted::Anything, true) => "the aim",
            (_, false) => "met",
            (_, true) => "met, and the aim",
        };
        writeln!(
            table,
            "| {} | {} | {} | {} | {met} |",
            verdict.row,
            shown(verdict.measured),
            verdict.must.words(),
            verdict.aim.words()
        )
        .ok();
    }
    table
}
