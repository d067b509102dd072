//! The autoscaler on work as it comes in over time: tasks flow in, workers start after a while and get through them. One
//! step is the interval at which the API's leader decides.

use super::tests::{on, seen};
use super::*;

/// Seconds between two decisions.
const STEP: i64 = 5;
/// Steps until a worker that was started takes tasks.
const STARTING: usize = 2;

struct Simulation {
    settings: Settings,
    autoscaler: Autoscaler,
    look: Observation,
    run_seconds: f64,
    waiting: f64,
    /// How many workers there were to be at each step.
    sizes: Vec<u32>,
    /// How many tasks came in at each step.
    arrivals: Vec<u64>,
    /// When the fleet grew, and when it shrank, in seconds.
    grown: Vec<i64>,
    shrunk: Vec<i64>,
    reasons: Vec<String>,
}

impl Simulation {
    fn new(settings: Settings, run_seconds: f64) -> Self {
        Self {
            settings,
            autoscaler: Autoscaler::default(),
            look: seen(),
            run_seconds,
            waiting: 0.0,
            sizes: vec![1; STARTING],
            arrivals: vec![0; 12],
            grown: Vec::new(),
            shrunk: Vec::new(),
            reasons: Vec::new(),
        }
    }

    fn seconds(&self) -> i64 {
        (self.look.at - seen().at).num_seconds()
    }

    /// `tasks` come in at once; five seconds of work are done; somebody decides.
    fn step(&mut self, tasks: u64) {
        self.waiting += tasks as f64;
        self.arrivals.push(tasks);
        let working = self.sizes.iter().rev().take(STARTING + 1).min();
        let working = working.copied().unwrap_or(1);
        let slots = f64::from(working) * self.look.slots;
        let done = (slots * STEP as f64 / self.run_seconds).min(self.waiting);
        self.waiting -= done;
        let running = slots.min(self.waiting);

        self.look.at += TimeDelta::seconds(STEP);
        self.look.due = (self.waiting - running) as u64;
        self.look.running = running as u64;
        self.look.online = working;
        self.look.busy = if running > 0.0 { working } else { 0 };
        self.look.run_seconds = (done > 0.0)
            .then_some(self.run_seconds)
            .or(self.look.run_seconds);
        self.look.longest_run_seconds = self.run_seconds;
        let mut buckets = [0; ARRIVAL_BUCKETS];
        let last_minute = &self.arrivals[self.arrivals.len() - 12..];
        for (bucket, two) in buckets.iter_mut().zip(last_minute.chunks(2)) {
            *bucket = two.iter().sum();
        }
        self.look.arrivals_per_second = steady_rate(buckets);

        let decision = self.autoscaler.decide(&self.settings, &self.look);
        let now = self.seconds();
        if decision.is_change() {
            let (from, to, reason) = (decision.from, decision.to, decision.reason);
            self.reasons
                .push(format!("{now:>4} s  {from} → {to}  {reason}"));
        }
        if decision.to > decision.from {
            self.grown.push(now);
            self.look.last_scale_up_at = Some(self.look.at);
        }
        if decision.to < decision.from {
            self.shrunk.push(now);
            self.look.last_scale_down_at = Some(self.look.at);
        }
        self.look.desired = decision.to;
        self.sizes.push(decision.to);
    }

    /// `per_second` tasks for `on` seconds, none for `off`, again and again.
    fn square_wave(&mut self, per_second: u64, on: i64, off: i64, waves: usize) {
        for _ in 0..waves {
            for _ in 0..on / STEP {
                self.step(per_second * STEP as u64);
            }
            for _ in 0..off / STEP {
                self.step(0);
            }
        }
    }

    fn assert_cool_downs(&self) {
        let apart = |changes: &[i64], pause: u32| {
            let mut pairs = changes.windows(2);
            pairs.all(|pair| pair[1] - pair[0] >= i64::from(pause))
        };
        let told = || self.reasons.join("\n");
        assert!(
            apart(&self.grown, self.settings.scale_up_cooldown_seconds),
            "{}",
            told()
        );
        assert!(
            apart(&self.shrunk, self.settings.scale_down_cooldown_seconds),
            "{}",
            told()
        );
        assert!(
            self.sizes.iter().all(|size| *size <= self.settings.max),
            "{}",
            told()
        );
    }
}

#[test]
fn a_burst_is_cleared_and_the_fleet_goes_back() {
    let mut it = Simulation::new(on(), 1.0);
    it.step(2000);
    while it.waiting > 0.0 {
        it.step(0);
        assert!(it.seconds() < 120, "{}", it.reasons.join("\n"));
    }
    while it.look.desired > 1 {
        it.step(0);
        assert!(it.seconds() < 1200, "{}", it.reasons.join("\n"));
    }
    it.assert_cool_downs();
    insta::assert_snapshot!(it.reasons.join("\n"));
}

#[test]
fn a_square_wave_within_the_cool_down_makes_it_settle_once_and_stay() {
    // 16 a second of one second each: four workers, for a minute out of two.
    let mut it = Simulation::new(on(), 1.0);
    it.square_wave(16, 60, 60, 30);
    it.assert_cool_downs();
    // What had gathered until enough had started took two more for a while. After that: nothing for fifty minutes.
    let last = it.grown.iter().chain(&it.shrunk).max().copied();
    assert!(last < Some(700), "{}", it.reasons.join("\n"));
    assert_eq!(it.look.desired, 4);
}

#[test]
fn a_slow_square_wave_makes_a_few_changes_for_each_edge() {
    let mut it = Simulation::new(on(), 1.0);
    let waves = 5;
    it.square_wave(16, 1200, 1200, waves);
    it.assert_cool_downs();
    assert_eq!(it.look.desired, 1);
    assert!(it.grown.len() <= 4 * waves, "{}", it.reasons.join("\n"));
    assert!(it.shrunk.len() <= 4 * waves, "{}", it.reasons.join("\n"));
    // Never up again while the load is as it was: each wave has one flank up.
    let first_half = |seconds: &&i64| **seconds % 2400 <= 120;
    assert_eq!(it.grown.iter().filter(first_half).count(), it.grown.len());
}

#[test]
fn a_steady_load_settles() {
    let mut it = Simulation::new(on(), 2.0);
    for _ in 0..720 {
        it.step(25);
    }
    it.assert_cool_downs();
    // 5 a second of 2 s each run 10 at once: three workers of four slots.
    assert_eq!(it.look.desired, 3, "{}", it.reasons.join("\n"));
    let last = it.grown.iter().chain(&it.shrunk).max().copied();
    assert!(last < Some(900), "{}", it.reasons.join("\n"));
}
