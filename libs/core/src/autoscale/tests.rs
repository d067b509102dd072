//! What is decided of what.

use std::fmt::Write as _;

use super::*;

/// One worker of four slots, and nothing to do.
pub(super) fn seen() -> Observation {
    Observation {
        at: DateTime::UNIX_EPOCH + TimeDelta::days(20_000),
        desired: 1,
        online: 1,
        draining: 0,
        busy: 0,
        slots: 4.0,
        due: 0,
        due_soon: 0,
        running: 0,
        held: 0,
        run_seconds: None,
        running_seconds: None,
        longest_run_seconds: 0.0,
        arrivals_per_second: 0.0,
        idle_first: true,
        last_scale_up_at: None,
        last_scale_down_at: None,
    }
}

pub(super) fn on() -> Settings {
    Settings {
        enabled: true,
        ..Settings::default()
    }
}

fn after(seconds: i64, seen: Observation) -> Observation {
    Observation {
        at: seen.at + TimeDelta::seconds(seconds),
        ..seen
    }
}

/// A burst of 2,000 tasks of one second, seen by three workers.
fn burst() -> Observation {
    Observation {
        desired: 3,
        online: 3,
        busy: 3,
        due: 1988,
        running: 12,
        run_seconds: Some(1.0),
        running_seconds: Some(0.5),
        longest_run_seconds: 1.0,
        ..seen()
    }
}

/// The decision of somebody who watched for a whole cool-down as the work was the same.
fn settled(settings: &Settings, seen: &Observation) -> Decision {
    let mut autoscaler = Autoscaler::default();
    autoscaler.decide(settings, &after(-301, seen.clone()));
    autoscaler.decide(settings, seen)
}

#[test]
fn a_table_of_reasons() {
    let idle = Observation {
        desired: 6,
        ..seen()
    };
    let long = Observation {
        desired: 6,
        busy: 3,
        running: 3,
        held: 3,
        running_seconds: Some(600.0),
        longest_run_seconds: 900.0,
        ..seen()
    };
    let lately = |seconds: i64| Some(seen().at - TimeDelta::seconds(seconds));
    let cases: Vec<(&str, Settings, Observation)> = vec![
        ("switched off", Settings::default(), burst()),
        (
            "scaled by hand",
            Settings {
                pinned: true,
                ..on()
            },
            burst(),
        ),
        ("too few", Settings { min: 5, ..on() }, seen()),
        ("too many", Settings { max: 5, ..on() }, idle.clone()),
        ("a burst", on(), burst()),
        (
            "a burst, large steps",
            Settings {
                max_step_up: 50,
                ..on()
            },
            burst(),
        ),
        ("a burst, small fleet", Settings { max: 5, ..on() }, burst()),
        (
            "a burst, all there are",
            Settings { max: 3, ..on() },
            burst(),
        ),
        (
            "a burst, just grown",
            on(),
            Observation {
                last_scale_up_at: lately(4),
                ..burst()
            },
        ),
        (
            "the first tasks ever",
            on(),
            Observation {
                due: 100,
                run_seconds: None,
                running_seconds: None,
                ..burst()
            },
        ),
        (
            "runs got longer",
            on(),
            Observation {
                due: 10,
                running_seconds: Some(90.0),
                longest_run_seconds: 95.0,
                held: 12,
                ..burst()
            },
        ),
        (
            "tasks for later",
            on(),
            Observation {
                due: 0,
                due_soon: 1000,
                ..burst()
            },
        ),
        (
            "a steady load",
            on(),
            Observation {
                due: 1,
                arrivals_per_second: 11.5,
                ..burst()
            },
        ),
        ("long idle", on(), idle.clone()),
        (
            "long idle, one at a time",
            Settings {
                max_step_down: 1,
                ..on()
            },
            idle.clone(),
        ),
        (
            "long idle, just shrunk",
            on(),
            Observation {
                last_scale_down_at: lately(100),
                ..idle
            },
        ),
        ("long runs", on(), long.clone()),
        (
            "long runs everywhere",
            on(),
            Observation {
                busy: 6,
                ..long.clone()
            },
        ),
        (
            "long runs, whoever goes",
            on(),
            Observation {
                idle_first: false,
                ..long.clone()
            },
        ),
        (
            "too many with long runs, whoever goes",
            Settings { max: 5, ..on() },
            Observation {
                idle_first: false,
                ..long.clone()
            },
        ),
        (
            "long runs that are over, whoever goes",
            on(),
            Observation {
                idle_first: false,
                busy: 0,
                running: 0,
                held: 0,
                running_seconds: None,
                ..long
            },
        ),
    ];
    let mut table = String::new();
    for (name, settings, seen) in cases {
        let decision = settled(&settings, &seen);
        let change = format!("{} → {}", decision.from, decision.to);
        let reason = decision.reason;
        writeln!(table, "{name}\n  {change}  {}\n  {reason}", reason.kind()).unwrap();
    }
    insta::assert_snapshot!(table);
}

#[test]
fn who_begins_to_watch_shrinks_nothing_for_a_whole_cool_down() {
    let idle = Observation {
        desired: 6,
        ..seen()
    };
    let mut autoscaler = Autoscaler::default();
    for seconds in (0..300).step_by(5) {
        let decision = autoscaler.decide(&on(), &after(seconds, idle.clone()));
        assert_eq!(decision.to, 6, "after {seconds} s");
        assert_eq!(decision.reason.kind(), "shrink_waits");
    }
    assert_eq!(autoscaler.decide(&on(), &after(300, idle.clone())).to, 2);

    // Scaled by hand, and released: all over again.
    autoscaler.decide(
        &Settings {
            pinned: true,
            ..on()
        },
        &after(305, idle.clone()),
    );
    assert_eq!(autoscaler.decide(&on(), &after(310, idle)).to, 6);
}

#[test]
fn who_finds_the_fleet_changed_by_others_begins_to_watch_again() {
    let look = |seconds, desired| after(seconds, Observation { desired, ..seen() });
    let mut autoscaler = Autoscaler::default();
    autoscaler.decide(&on(), &look(0, 6));
    // Scaled by hand and released between two looks, or by Compose.
    for seconds in [299, 301, 598] {
        let decision = autoscaler.decide(&on(), &look(seconds, 8));
        assert_eq!((decision.to, decision.reason.kind()), (8, "shrink_waits"));
    }
    let decision = autoscaler.decide(&on(), &look(599, 8));
    assert_eq!(decision.to, 4);
    // What it did itself, or could not do, is nothing new.
    assert_eq!(autoscaler.decide(&on(), &look(600, 8)).to, 4);
    autoscaler.carried_out(&decision);
    assert_eq!(autoscaler.decide(&on(), &look(605, 4)).to, 1);
}

#[test]
fn it_shrinks_to_what_was_needed_most_during_the_cool_down() {
    let settings = Settings {
        max_step_down: 50,
        ..on()
    };
    let mut autoscaler = Autoscaler::default();
    let at = |seconds, due| {
        after(
            seconds,
            Observation {
                desired: 9,
                due,
                ..burst()
            },
        )
    };
    autoscaler.decide(&settings, &at(0, 2000));
    autoscaler.decide(&settings, &at(200, 1000));
    let decision = autoscaler.decide(&settings, &at(301, 0));
    assert_eq!(
        decision.to, 5,
        "1000 s of work in a minute of four slots each"
    );
}

#[test]
fn a_clock_that_was_set_back_only_makes_it_wait() {
    let idle = Observation {
        desired: 6,
        ..seen()
    };
    let mut autoscaler = Autoscaler::default();
    autoscaler.decide(&on(), &after(10_000, idle.clone()));
    assert_eq!(autoscaler.decide(&on(), &idle).to, 6);
    assert_eq!(autoscaler.decide(&on(), &after(301, idle)).to, 2);
}

#[test]
fn all_slots_held_by_long_runs_is_no_standstill() {
    // What has ended took a second each, and there is little to do: but nothing of it begins.
    let stuck = Observation {
        due: 1,
        running: 12,
        held: 12,
        running_seconds: Some(3600.0),
        longest_run_seconds: 3600.0,
        ..burst()
    };
    let decision = settled(&on(), &stuck);
    assert!(decision.to > 3, "{decision:?}");
}

#[test]
fn a_rate_is_what_goes_on_coming() {
    assert_eq!(steady_rate([0; 6]), 0.0);
    assert_eq!(steady_rate([0, 0, 2000, 0, 0, 0]), 0.0);
    assert_eq!(steady_rate([50; 6]), 5.0);
    assert_eq!(steady_rate([50, 50, 2000, 50, 50, 50]), 5.0);
}

#[test]
fn every_kind_has_a_name_of_its_own() {
    let mut names = Reason::KINDS.to_vec();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Reason::KINDS.len());
}
