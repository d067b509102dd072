//! That no decision breaks its limits, whatever is seen.

use proptest::prelude::*;

use super::tests::{on, seen};
use super::*;

prop_compose! {
    fn settings()(
        enabled in prop::bool::weighted(0.9), pinned in prop::bool::weighted(0.1), min in 1..20u32, more in 0..30u32,
        target_seconds in 1..600u32, up in 0..100u32, down in 0..600u32, max_step_up in 1..20u32,
        max_step_down in 1..20u32,
    ) -> Settings {
        Settings {
            enabled, dry_run: false, pinned, min, max: min + more, target_seconds, scale_up_cooldown_seconds: up,
            scale_down_cooldown_seconds: down, max_step_up, max_step_down,
        }
    }
}

prop_compose! {
    fn anything()(
        pause in 0..400i64, busy in 0..60u32, slots in 0.0..100.0f64, due in prop_oneof![0..50u64, 0..u64::MAX],
        due_soon in 0..1000u64, held in 0..50u64, run in prop::option::of(0.0..1e5f64),
        so_far in prop::option::of(0.0..1e5f64), rate in prop_oneof![Just(0.0), 0.0..1e4f64], idle_first: bool,
    ) -> (i64, Observation) {
        let longest_run_seconds = run.unwrap_or(0.0f64).max(so_far.unwrap_or(0.0));
        let observation = Observation {
            busy, slots, due, due_soon, running: held, held, run_seconds: run, running_seconds: so_far,
            longest_run_seconds, arrivals_per_second: rate, idle_first, ..seen()
        };
        (pause, observation)
    }
}

proptest! {
    #[test]
    fn never_beyond_its_limits(
        settings in settings(), start in 0..60u32, looks in prop::collection::vec(anything(), 1..40),
    ) {
        let mut autoscaler = Autoscaler::default();
        let (mut size, mut now) = (start, seen().at);
        let (mut last_up, mut last_down) = (None, None);
        for (pause, look) in looks {
            now += TimeDelta::seconds(pause);
            let look = Observation {
                at: now, desired: size, last_scale_up_at: last_up, last_scale_down_at: last_down, ..look
            };
            let decision = autoscaler.decide(&settings, &look);
            prop_assert_eq!(decision.from, size);
            prop_assert!(Reason::KINDS.contains(&decision.reason.kind()));
            prop_assert!(!decision.reason.to_string().is_empty());
            if !settings.enabled || settings.pinned {
                prop_assert_eq!(decision.to, size);
            }
            prop_assert!(decision.to <= size + settings.max_step_up);
            prop_assert!(decision.to + settings.max_step_down >= size);
            if (settings.min..=settings.max).contains(&size) {
                prop_assert!((settings.min..=settings.max).contains(&decision.to), "{decision:?}");
                let since = |last: Option<DateTime<Utc>>| last.map(|last| (now - last).num_seconds());
                if decision.to > size {
                    prop_assert!(since(last_up) >= Some(settings.scale_up_cooldown_seconds.into()) || last_up.is_none());
                }
                if decision.to < size {
                    let pause = Some(settings.scale_down_cooldown_seconds.into());
                    prop_assert!(since(last_down) >= pause || last_down.is_none());
                    prop_assert!(since(last_up) >= pause || last_up.is_none());
                }
            }
            if decision.to < size && look.longest_run_seconds > DRAINS_WITHIN_SECONDS {
                prop_assert!(decision.to >= look.busy, "{decision:?}");
                prop_assert!(look.idle_first || look.busy == 0, "{decision:?}");
            }
            if decision.to > size { last_up = Some(now); }
            if decision.to < size { last_down = Some(now); }
            size = decision.to;
            autoscaler.carried_out(&decision);
        }
    }

    #[test]
    fn more_to_do_never_asks_for_fewer((_, look) in anything(), more in 0..10_000u64) {
        let demand = |due| Demand::of(&on(), &Observation { due, ..look.clone() }).workers;
        prop_assert!(demand(look.due.saturating_add(more)) >= demand(look.due));
    }

    #[test]
    fn as_many_as_are_needed_clear_it_within_the_target(
        (_, look) in anything(), due in 0..2000u64, rate in 0.0..0.2f64,
    ) {
        let look = Observation { due, arrivals_per_second: rate, ..look };
        let needed = Demand::of(&on(), &look).workers.max(1);
        let clears = forecast(&look, needed.min(50)).last().unwrap().clears_in_seconds;
        // Above, nothing is foreseen. Demand does not count what is lost in rounding.
        prop_assert!(needed > 50 || clears.is_some_and(|it| it <= 60.0 * 1.01), "{needed}: {clears:?}");
    }

    #[test]
    fn more_workers_never_take_longer((_, look) in anything()) {
        let seconds: Vec<f64> = forecast(&look, 50)
            .iter()
            .map(|it| it.clears_in_seconds.unwrap_or(f64::INFINITY))
            .collect();
        prop_assert!(seconds.is_sorted_by(|fewer, more| fewer >= more), "{seconds:?}");
        prop_assert!(seconds.iter().all(|seconds| *seconds >= 0.0));
    }
}
