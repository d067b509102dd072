//! How many workers there should be: measured demand in, a decision with its reason out. Pure: no clock and no memory but
//! [`Autoscaler`]'s own.
//!
//! What is taken from others: from Kubernetes' HorizontalPodAutoscaler the stabilization window (what shrinks goes to the
//! highest recommendation of the last minutes, seeded with the size that is there when it begins) and the limit to each
//! step; from it and KEDA a target per worker instead of thresholds, here the seconds of work that wait for each. Their
//! target is a length that somebody has to guess; ours comes from how long runs take.

use std::collections::VecDeque;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

mod demand;
mod forecast;
mod reason;
mod settings;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use demand::{ARRIVAL_BUCKET_SECONDS, ARRIVAL_BUCKETS, Demand, RunTime, steady_rate};
pub use forecast::{Forecast, forecast, summary};
pub use reason::{Limit, Reason};
pub use settings::{MAX_COOLDOWN_SECONDS, MAX_TARGET_SECONDS, Settings, SettingsPatch};

/// A worker that drains has half a minute unless told otherwise: runs that may take more than half of that, as far as those
/// tell that were seen, are not drained for the sake of size.
pub const DRAINS_WITHIN_SECONDS: f64 = 15.0;

/// What was seen of the work and of the workers, all at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = AutoscalerObservation))]
pub struct Observation {
    /// When, by Postgres's clock.
    pub at: DateTime<Utc>,
    /// How many workers there are to be now.
    pub desired: u32,
    /// How many are online and take tasks. Fewer than `desired` while some are starting.
    pub online: u32,
    /// How many finish what they run and then go.
    pub draining: u32,
    /// How many of those online hold tasks.
    pub busy: u32,
    /// How many tasks a worker runs at once: the mean of those that are there.
    pub slots: f64,
    /// How many tasks are due and with nobody.
    pub due: u64,
    /// How many more become due within the target.
    pub due_soon: u64,
    /// How many run.
    pub running: u64,
    /// How many of these, on workers that take tasks, have run for longer than the target: their slots are not free soon.
    pub held: u64,
    /// How many seconds a run takes: the mean of those that ended lately; nothing if none did.
    pub run_seconds: Option<f64>,
    /// For how many seconds those that run now have run: the median. Nothing if some that began later have ended already:
    /// these tell how long a run takes, and among those that run the long ones are always many.
    pub running_seconds: Option<f64>,
    /// The longest of those that ended lately and of those that run, in seconds.
    pub longest_run_seconds: f64,
    /// How many tasks come in a second, without the busiest moment of the last minute: that is in the backlog already.
    pub arrivals_per_second: f64,
    /// Whether idle workers go first when there are to be fewer. Not where something else chooses: Swarm does.
    pub idle_first: bool,
    /// When the autoscaler last made the fleet larger.
    pub last_scale_up_at: Option<DateTime<Utc>>,
    /// When it last made the fleet smaller.
    pub last_scale_down_at: Option<DateTime<Utc>>,
}

/// How many workers there are to be, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// How many there are to be so far.
    pub from: u32,
    /// How many from now on.
    pub to: u32,
    /// Why.
    pub reason: Reason,
}

impl Decision {
    /// Whether it makes the fleet larger or smaller.
    #[must_use]
    pub fn is_change(&self) -> bool {
        self.from != self.to
    }

    fn stay(at: u32, reason: Reason) -> Self {
        Self {
            from: at,
            to: at,
            reason,
        }
    }
}

/// What is remembered from decision to decision: what was recommended during the scale-down cool-down. Whoever begins
/// without that memory takes the present size for the last recommendation, and so shrinks nothing for one cool-down.
#[derive(Debug, Clone, Default)]
pub struct Autoscaler {
    recommended: VecDeque<(DateTime<Utc>, u32)>,
    /// How many workers there are to be, if nobody else changes that.
    expected: Option<u32>,
}

impl Autoscaler {
    /// Decides. Never beyond `min`, `max` and the steps, except that what is outside `min` and `max` already comes in step
    /// by step; nothing changes while it is disabled or pinned.
    pub fn decide(&mut self, settings: &Settings, seen: &Observation) -> Decision {
        let from = seen.desired;
        let expected = self.expected.replace(from);
        if expected.is_some_and(|expected| expected != from) {
            // Somebody else has changed the fleet, who may know what is to come.
            self.recommended.clear();
        }
        if !settings.enabled || settings.pinned {
            // Whoever takes over again has to watch for a whole cool-down before it shrinks anything.
            self.recommended.clear();
            let reason = if settings.enabled {
                Reason::Pinned
            } else {
                Reason::Disabled
            };
            return Decision::stay(from, reason);
        }
        let demand = Demand::of(settings, seen);
        let wanted = demand.workers.clamp(settings.min, settings.max);
        self.remember(settings, seen, wanted);
        if from < settings.min {
            let to = settings.min.min(from.saturating_add(settings.max_step_up));
            let reason = Reason::BelowMin { min: settings.min };
            return Decision { from, to, reason };
        }
        if from > settings.max {
            let reason = Reason::AboveMax { max: settings.max };
            return shrink(settings, seen, settings.max, demand, reason);
        }
        if wanted > from {
            grow(settings, seen, wanted, demand)
        } else if wanted == from {
            let reason = if demand.workers > settings.max {
                Reason::AtMax { demand }
            } else {
                Reason::Fits { demand }
            };
            Decision::stay(from, reason)
        } else {
            self.shrink_if_settled(settings, seen, demand)
        }
    }

    /// The fleet was changed as decided.
    pub fn carried_out(&mut self, decision: &Decision) {
        self.expected = Some(decision.to);
    }

    fn remember(&mut self, settings: &Settings, seen: &Observation, wanted: u32) {
        // Those of the future are there when the clock was set back.
        self.recommended.retain(|(at, _)| *at <= seen.at);
        if self.recommended.is_empty() {
            self.recommended.push_back((seen.at, seen.desired));
        }
        let oldest = seen.at - cooldown(settings.scale_down_cooldown_seconds);
        self.recommended.retain(|(at, _)| *at > oldest);
        self.recommended.push_back((seen.at, wanted));
    }

    /// Shrinks to the highest recommendation of the cool-down, if that is lower and the last change is as long ago.
    fn shrink_if_settled(
        &self,
        settings: &Settings,
        seen: &Observation,
        demand: Demand,
    ) -> Decision {
        let from = seen.desired;
        let recommended = self.recommended.iter().map(|(_, wanted)| *wanted);
        let highest = recommended.max().unwrap_or(from);
        let pause = cooldown(settings.scale_down_cooldown_seconds);
        let mut latest_first = self.recommended.iter().rev();
        let needed_at = latest_first.find(|(_, wanted)| *wanted >= from);
        let since = [
            needed_at.map(|(at, _)| *at),
            seen.last_scale_up_at,
            seen.last_scale_down_at,
        ];
        let since = since.into_iter().flatten().max();
        let seconds_left = since.map_or(0, |since| seconds_until(since + pause, seen.at));
        if seconds_left > 0 {
            let reason = Reason::ShrinkWaits {
                demand,
                seconds_left,
            };
            return Decision::stay(from, reason);
        }
        let to = highest.max(from.saturating_sub(settings.max_step_down));
        let reason = Reason::Shrink {
            demand,
            window_seconds: settings.scale_down_cooldown_seconds,
            limit: (to > highest).then_some(Limit::Step(settings.max_step_down)),
        };
        shrink(settings, seen, to, demand, reason)
    }
}

fn grow(settings: &Settings, seen: &Observation, wanted: u32, demand: Demand) -> Decision {
    let from = seen.desired;
    let pause = cooldown(settings.scale_up_cooldown_seconds);
    let last = seen.last_scale_up_at;
    let seconds_left = last.map_or(0, |last| seconds_until(last + pause, seen.at));
    if seconds_left > 0 {
        let reason = Reason::GrowthCoolsDown {
            demand,
            seconds_left,
        };
        return Decision::stay(from, reason);
    }
    let to = wanted.min(from.saturating_add(settings.max_step_up));
    let limit = if to < wanted {
        Some(Limit::Step(settings.max_step_up))
    } else if wanted < demand.workers {
        Some(Limit::Max(settings.max))
    } else {
        None
    };
    Decision {
        from,
        to,
        reason: Reason::Grow { demand, limit },
    }
}

/// Shrinks towards `to`, by one step at most; where runs are long only by workers that hold nothing, because what does not
/// end within a drain's grace is cut off. Where who goes cannot be chosen, by none while any holds something.
fn shrink(
    settings: &Settings,
    seen: &Observation,
    to: u32,
    demand: Demand,
    reason: Reason,
) -> Decision {
    let from = seen.desired;
    let to = to.max(from.saturating_sub(settings.max_step_down));
    let long = seen.longest_run_seconds > DRAINS_WITHIN_SECONDS;
    let spared = if seen.idle_first || seen.busy == 0 {
        seen.busy
    } else {
        from
    };
    if !long || to >= spared {
        return Decision { from, to, reason };
    }
    let reason = Reason::RunsAreLong {
        demand,
        busy: seen.busy,
        idle_first: seen.idle_first,
        longest_seconds: seen.longest_run_seconds,
    };
    Decision {
        from,
        to: spared.clamp(to, from),
        reason,
    }
}

fn cooldown(seconds: u32) -> TimeDelta {
    TimeDelta::seconds(seconds.into())
}

/// Whole seconds from `now` until `then`, rounded up; none if it is past.
fn seconds_until(then: DateTime<Utc>, now: DateTime<Utc>) -> u32 {
    let milliseconds = (then - now).num_milliseconds().max(0);
    u32::try_from(milliseconds.unsigned_abs().div_ceil(1000)).unwrap_or(u32::MAX)
}
