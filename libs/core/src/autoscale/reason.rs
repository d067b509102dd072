//! Why there are to be so many workers, with the figures that say so.

use std::fmt;

use super::{Demand, RunTime};

/// What kept a growth or a shrinking smaller than the demand would have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// The most workers that one decision adds or takes away.
    Step(u32),
    /// The most workers there may be.
    Max(u32),
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// It is switched off.
    Disabled,
    /// Somebody scaled by hand.
    Pinned,
    /// There are fewer than there may be.
    BelowMin {
        /// The fewest there may be.
        min: u32,
    },
    /// There are more than there may be.
    AboveMax {
        /// The most there may be.
        max: u32,
    },
    /// The work needs more, and gets them.
    Grow {
        /// What it needs.
        demand: Demand,
        /// Why not all of them.
        limit: Option<Limit>,
    },
    /// The work needs more, but the last growth is too short ago to show what it did.
    GrowthCoolsDown {
        /// What it needs.
        demand: Demand,
        /// For how long it waits.
        seconds_left: u32,
    },
    /// The work needs more than there may be.
    AtMax {
        /// What it needs.
        demand: Demand,
    },
    /// As many as the work needs, or the fewest there may be.
    Fits {
        /// What it needs.
        demand: Demand,
    },
    /// The work has needed fewer for the whole cool-down.
    Shrink {
        /// What it needs.
        demand: Demand,
        /// The cool-down.
        window_seconds: u32,
        /// Why not all of them go.
        limit: Option<Limit>,
    },
    /// The work needs fewer, but did not a short while ago.
    ShrinkWaits {
        /// What it needs.
        demand: Demand,
        /// For how long it waits.
        seconds_left: u32,
    },
    /// The work needs fewer, but those that go would cut off what they run.
    RunsAreLong {
        /// What it needs.
        demand: Demand,
        /// How many workers hold tasks.
        busy: u32,
        /// Whether the others go first.
        idle_first: bool,
        /// How long a run may take.
        longest_seconds: f64,
    },
}

impl Reason {
    /// The name that is stored and shown.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Pinned => "pinned",
            Self::BelowMin { .. } => "below_min",
            Self::AboveMax { .. } => "above_max",
            Self::Grow { .. } => "grow",
            Self::GrowthCoolsDown { .. } => "growth_cools_down",
            Self::AtMax { .. } => "at_max",
            Self::Fits { .. } => "fits",
            Self::Shrink { .. } => "shrink",
            Self::ShrinkWaits { .. } => "shrink_waits",
            Self::RunsAreLong { .. } => "runs_are_long",
        }
    }

    /// Every name that [`kind`](Self::kind) may give.
    pub const KINDS: [&'static str; 11] = [
        "disabled",
        "pinned",
        "below_min",
        "above_max",
        "grow",
        "growth_cools_down",
        "at_max",
        "fits",
        "shrink",
        "shrink_waits",
        "runs_are_long",
    ];
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("the autoscaler is switched off"),
            Self::Pinned => {
                f.write_str("somebody scaled by hand: nothing changes until that is released")
            }
            Self::BelowMin { min } => write!(f, "there are to be {min} workers at least"),
            Self::AboveMax { max } => write!(f, "there are to be {max} workers at most"),
            Self::Grow { demand, limit } => {
                write!(f, "{demand}")?;
                match limit {
                    Some(Limit::Step(step)) => write!(f, "; at most {step} more at a time"),
                    Some(Limit::Max(max)) => write!(f, "; there may be {max}"),
                    None => Ok(()),
                }
            }
            Self::GrowthCoolsDown {
                demand,
                seconds_left,
            } => write!(
                f,
                "{demand}; what the last growth does shows in {}",
                human((*seconds_left).into())
            ),
            Self::AtMax { demand } => write!(f, "{demand}; there may be no more"),
            Self::Fits { demand } => write!(f, "{demand}"),
            Self::Shrink {
                demand,
                window_seconds,
                limit,
            } => {
                let window = human((*window_seconds).into());
                write!(f, "{demand}, and no more were needed for {window}")?;
                match limit {
                    Some(Limit::Step(step)) => write!(f, "; at most {step} fewer at a time"),
                    _ => Ok(()),
                }
            }
            Self::ShrinkWaits {
                demand,
                seconds_left,
            } => write!(
                f,
                "{demand}; it shrinks if that is so for another {}",
                human((*seconds_left).into())
            ),
            Self::RunsAreLong {
                demand,
                busy,
                idle_first,
                longest_seconds,
            } => {
                let longest = human(*longest_seconds);
                if *idle_first {
                    write!(
                        f,
                        "{demand}; only idle workers go, because runs may take {longest} and {busy} hold tasks"
                    )
                } else {
                    write!(
                        f,
                        "{demand}; none goes, because runs may take {longest}, {busy} hold tasks and who goes cannot be chosen"
                    )
                }
            }
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        match self.waiting {
            0 => {}
            1 => parts.push("1 task waits".to_owned()),
            many => parts.push(format!("{many} tasks wait")),
        }
        if self.arrivals_per_second > 0.0 {
            parts.push(format!(
                "{} come in a second",
                figure(self.arrivals_per_second)
            ));
        }
        let timed = !parts.is_empty();
        if self.held > 0 {
            parts.push(format!("{} run for long", self.held));
        }
        match parts.split_last() {
            None => f.write_str("nothing waits and nothing comes in")?,
            Some((only, [])) => f.write_str(only)?,
            Some((last, others)) => write!(f, "{} and {last}", others.join(", "))?,
        }
        if timed {
            let seconds = figure(self.run.seconds());
            match self.run {
                RunTime::Measured(_) => write!(f, ", at {seconds} s each")?,
                RunTime::SoFar(_) => write!(f, ", at {seconds} s each so far")?,
                RunTime::Assumed(_) => write!(f, ", at a guessed {seconds} s each")?,
            }
        }
        let workers = match self.workers {
            1 => "1 worker does".to_owned(),
            count => format!("{count} workers do"),
        };
        match self.workers {
            0 => Ok(()),
            _ if self.waiting > 0 => write!(
                f,
                ": {workers} that within {}",
                human(self.target_seconds.into())
            ),
            _ => write!(f, ": {workers} that"),
        }
    }
}

/// A duration in its two largest units.
pub(super) fn human(seconds: f64) -> String {
    if seconds < 9.95 && seconds.fract() > 0.0 {
        return format!("{seconds:.1} s");
    }
    // The cast saturates.
    let seconds = seconds.round().max(0.0) as u64;
    let pair = |large: u64, large_name: &str, small: u64, small_name: &str| {
        let rest = seconds % large / small;
        match rest {
            0 => format!("{} {large_name}", seconds / large),
            rest => format!("{} {large_name} {rest} {small_name}", seconds / large),
        }
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => pair(60, "min", 1, "s"),
        3600..86_400 => pair(3600, "h", 60, "min"),
        _ => pair(86_400, "d", 3600, "h"),
    }
}

/// A number with as many digits as matter.
fn figure(number: f64) -> String {
    match number {
        _ if number >= 10.0 => format!("{number:.0}"),
        _ if number >= 0.1 => format!("{number:.1}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (seconds, text) in [
            (0.0, "0 s"),
            (0.25, "0.2 s"),
            (9.0, "9 s"),
            (59.6, "1 min"),
            (100.0, "1 min 40 s"),
            (420.0, "7 min"),
            (3700.0, "1 h 1 min"),
            (90_000.0, "1 d 1 h"),
            (f64::INFINITY, "213503982334601 d 7 h"),
        ] {
            assert_eq!(human(seconds), text);
        }
    }

    #[test]
    fn figures_are_short() {
        for (number, text) in [
            (123.4, "123"),
            (3.25, "3.2"),
            (0.1, "0.1"),
            (0.004, "0.004"),
        ] {
            assert_eq!(figure(number), text);
        }
    }
}
