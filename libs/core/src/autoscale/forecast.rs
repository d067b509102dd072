//! What so many workers would make of the backlog.

use serde::Serialize;

use super::demand::{ROUNDING, steady_slots};
use super::reason::human;
use super::{Observation, RunTime};

/// What so many workers would do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Forecast {
    /// How many workers.
    pub workers: u32,
    /// In how many seconds nothing waits any more; nothing if that is never: as much comes in as they get through.
    pub clears_in_seconds: Option<f64>,
    /// Which share of their slots what comes in, or runs for long, takes up; more than 1: they fall behind.
    pub utilisation: f64,
}

/// What 1 to `most` workers would do, if tasks go on coming in and running as they did: what waits is cleared by the slots
/// that what comes in leaves free, as [`Demand`](super::Demand) has it. A flow, not a simulation: it knows how long runs
/// take on the whole, and not which of the waiting ones is long.
#[must_use]
pub fn forecast(seen: &Observation, most: u32) -> Vec<Forecast> {
    let run = RunTime::of(seen);
    let waiting = seen.due.saturating_add(seen.due_soon) as f64;
    let needed = steady_slots(seen, run);
    (1..=most)
        .map(|workers| {
            let slots = f64::from(workers) * seen.slots.max(1.0);
            let free = slots - needed;
            let clears_in_seconds = if free > 0.0 {
                Some(waiting * run.seconds() / free)
            } else if waiting == 0.0 && free >= -ROUNDING * slots {
                Some(0.0)
            } else {
                None
            };
            Forecast {
                workers,
                clears_in_seconds,
                utilisation: needed / slots,
            }
        })
        .collect()
}

/// A forecast in words: what `desired` workers would do, and the fewest that clear the backlog within `target_seconds`.
#[must_use]
pub fn summary(
    seen: &Observation,
    forecasts: &[Forecast],
    desired: u32,
    target_seconds: u32,
) -> String {
    let waiting = seen.due.saturating_add(seen.due_soon);
    let tasks = match waiting {
        0 => "Nothing waits.".to_owned(),
        1 => "1 task waits.".to_owned(),
        many => format!("{many} tasks wait."),
    };
    let mut sentences = vec![tasks];
    let at = |workers: u32| forecasts.iter().find(|it| it.workers == workers);
    let who = |workers: u32, does: &str, do_: &str| match workers {
        1 => format!("1 worker {does}"),
        many => format!("{many} workers {do_}"),
    };
    if let Some(now) = at(desired) {
        sentences.push(match now.clears_in_seconds {
            Some(_) if waiting == 0 => format!("{}.", who(desired, "keeps up", "keep up")),
            Some(seconds) => {
                format!(
                    "{} it in {}.",
                    who(desired, "clears", "clear"),
                    human(seconds)
                )
            }
            None if waiting == 0 => format!("{} behind.", who(desired, "falls", "fall")),
            None => format!("{} it.", who(desired, "never clears", "never clear")),
        });
    }
    let target = f64::from(target_seconds);
    let enough = forecasts.iter().find(|it| {
        it.clears_in_seconds
            .is_some_and(|seconds| seconds <= target)
    });
    match enough {
        Some(enough) if enough.workers != desired && waiting > 0 => sentences.push(format!(
            "{} it within {}.",
            who(enough.workers, "clears", "clear"),
            human(target)
        )),
        Some(_) => {}
        None if waiting == 0 => {
            sentences.push(format!("No number up to {} keeps up.", forecasts.len()));
        }
        None => sentences.push(format!(
            "No number up to {} clears it within {}.",
            forecasts.len(),
            human(target)
        )),
    }
    sentences.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoscale::tests::seen;

    fn times(seen: &Observation, most: u32) -> Vec<Option<f64>> {
        let forecasts = forecast(seen, most).into_iter();
        forecasts.map(|it| it.clears_in_seconds).collect()
    }

    #[test]
    fn more_workers_clear_it_sooner() {
        let burst = Observation {
            due: 2000,
            run_seconds: Some(1.0),
            desired: 5,
            ..seen()
        };
        assert_eq!(
            times(&burst, 5),
            [
                Some(500.0),
                Some(250.0),
                Some(500.0 / 3.0),
                Some(125.0),
                Some(100.0)
            ]
        );
        let forecasts = forecast(&burst, 10);
        assert_eq!(
            summary(&burst, &forecasts, 5, 60),
            "2000 tasks wait. 5 workers clear it in 1 min 40 s. 9 workers clear it within 1 min."
        );
        assert_eq!(
            summary(&burst, &forecasts, 10, 60),
            "2000 tasks wait. 10 workers clear it in 50 s. 9 workers clear it within 1 min."
        );
        assert_eq!(
            summary(&burst, &forecasts[..2], 1, 60),
            "2000 tasks wait. 1 worker clears it in 8 min 20 s. No number up to 2 clears it within 1 min."
        );
    }

    #[test]
    fn never_where_as_much_comes_in() {
        // 8 a second of one second each keep two workers of four slots busy.
        let steady = Observation {
            due: 40,
            run_seconds: Some(1.0),
            arrivals_per_second: 8.0,
            ..seen()
        };
        assert_eq!(times(&steady, 3), [None, None, Some(10.0)]);
        let utilisation: Vec<f64> = forecast(&steady, 3)
            .iter()
            .map(|it| it.utilisation)
            .collect();
        assert_eq!(utilisation, [2.0, 1.0, 8.0 / 12.0]);
        let nothing_waits = Observation { due: 0, ..steady };
        assert_eq!(times(&nothing_waits, 3), [None, Some(0.0), Some(0.0)]);
        let too_few = forecast(&nothing_waits, 1);
        assert_eq!(
            summary(&nothing_waits, &too_few, 1, 60),
            "Nothing waits. 1 worker falls behind. No number up to 1 keeps up."
        );
    }

    #[test]
    fn runs_that_outlast_the_target_are_subtracted_once() {
        // All that runs is held, and it is what has come in: five minutes long, one each minute.
        let long = Observation {
            due: 6,
            running: 5,
            held: 4,
            run_seconds: Some(300.0),
            arrivals_per_second: 1.0 / 60.0,
            ..seen()
        };
        assert_eq!(times(&long, 3), [None, Some(600.0), Some(1800.0 / 7.0)]);
    }

    #[test]
    fn slots_that_long_runs_hold_clear_nothing() {
        let held = Observation {
            due: 40,
            running: 4,
            held: 4,
            run_seconds: Some(1.0),
            ..seen()
        };
        assert_eq!(times(&held, 2), [None, Some(10.0)]);
    }
}
