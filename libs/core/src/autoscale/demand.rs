//! How many workers the work needs.

use super::{Observation, Settings};

/// How many pieces the last minute is cut into, to tell a rate from a burst.
pub const ARRIVAL_BUCKETS: usize = 6;
/// How long each of them is.
pub const ARRIVAL_BUCKET_SECONDS: u32 = 10;

/// What a run is taken to last as long as nothing is known. Little, so that a guess starts few workers: what turns out to
/// last longer is noticed by how long it has run so far.
const ASSUMED_RUN_SECONDS: f64 = 1.0;
/// Runs are not counted as shorter than this: work is never for free.
const SHORTEST_RUN_SECONDS: f64 = 0.001;

/// How many seconds a run takes, and how that is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RunTime {
    /// The mean of those that ended lately.
    Measured(f64),
    /// What runs now has run for so long already, longer than what ended lately, and nothing newer has ended.
    SoFar(f64),
    /// Nothing is known.
    Assumed(f64),
}

impl RunTime {
    /// By what was seen.
    #[must_use]
    pub fn of(seen: &Observation) -> Self {
        let ended = seen.run_seconds.map(|mean| mean.max(SHORTEST_RUN_SECONDS));
        let so_far = seen.running_seconds.unwrap_or_default();
        match ended {
            Some(ended) if ended >= so_far => Self::Measured(ended),
            None if so_far <= ASSUMED_RUN_SECONDS => Self::Assumed(ASSUMED_RUN_SECONDS),
            _ => Self::SoFar(so_far),
        }
    }

    /// In seconds, more than 0.
    #[must_use]
    pub fn seconds(self) -> f64 {
        match self {
            Self::Measured(seconds) | Self::SoFar(seconds) | Self::Assumed(seconds) => seconds,
        }
    }
}

/// What is lost in rounding, in workers.
pub(super) const ROUNDING: f64 = 1e-9;

/// How many slots what comes in takes up: by Little's law, what comes in a second times the seconds it runs is how many run
/// at once; but at least the slots that long runs hold, whenever these came in.
pub(super) fn steady_slots(seen: &Observation, run: RunTime) -> f64 {
    (seen.arrivals_per_second * run.seconds()).max(seen.held as f64)
}

/// How many workers the work needs, and the figures that say so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    /// How many workers: both parts, rounded up. May be more than any fleet has.
    pub workers: u32,
    /// How many of these keep up with what comes in, or are held by long runs.
    pub steady: f64,
    /// How many clear what waits within the target.
    pub clearing: f64,
    /// How many tasks wait, or are due within the target.
    pub waiting: u64,
    /// How many come in a second.
    pub arrivals_per_second: f64,
    /// How many slots long runs hold.
    pub held: u64,
    /// How long one runs.
    pub run: RunTime,
    /// The target.
    pub target_seconds: u32,
}

impl Demand {
    /// One part keeps up with what comes in. The other part: the seconds of work that wait, shared so that none waits for
    /// longer than the target.
    #[must_use]
    pub fn of(settings: &Settings, seen: &Observation) -> Self {
        let run = RunTime::of(seen);
        let slots = seen.slots.max(1.0);
        let waiting = seen.due.saturating_add(seen.due_soon);
        let steady = steady_slots(seen, run) / slots;
        let target = f64::from(settings.target_seconds.max(1));
        let clearing = waiting as f64 * run.seconds() / (slots * target);
        Self {
            // Not one more for what is lost in rounding; the cast saturates.
            workers: (steady + clearing - ROUNDING).ceil().max(0.0) as u32,
            steady,
            clearing,
            waiting,
            arrivals_per_second: seen.arrivals_per_second,
            held: seen.held,
            run,
            target_seconds: settings.target_seconds,
        }
    }
}

/// How many tasks come in a second, from how many came in each piece of the last minute: the mean of all but the busiest
/// piece. A burst is in the backlog, and would count twice; what goes on coming is in every piece.
#[must_use]
pub fn steady_rate(buckets: [u64; ARRIVAL_BUCKETS]) -> f64 {
    let busiest = buckets.iter().max().copied().unwrap_or_default();
    let others = buckets.iter().sum::<u64>() - busiest;
    let seconds = (ARRIVAL_BUCKETS as f64 - 1.0) * f64::from(ARRIVAL_BUCKET_SECONDS);
    others as f64 / seconds
}
