//! The autoscaler on work as it comes in over time: tasks flow in, workers start after a while and get through them. One
//! step is the interval at which the API's leader decides.

use std::collections::BTreeMap;

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
    /// Every so many tasks there is one of ten minutes.
    long_every: Option<usize>,
    /// How many tasks came in so far.
    count: usize,
    /// The tasks that wait, in their turn.
    waiting: VecDeque<Task>,
    /// When each of those that run began, in seconds.
    running: Vec<(f64, Task)>,
    /// When each of those that ended began, and how long it took.
    ended: BTreeMap<usize, (f64, f64)>,
    /// How many workers there were to be at each step.
    sizes: Vec<u32>,
    /// How many tasks came in at each step.
    arrivals: Vec<u64>,
    /// When the fleet grew, and when it shrank, in seconds.
    grown: Vec<i64>,
    shrunk: Vec<i64>,
    reasons: Vec<String>,
}

#[derive(Clone, Copy)]
struct Task {
    id: usize,
    seconds: f64,
}

impl Simulation {
    fn new(settings: Settings, run_seconds: f64) -> Self {
        Self {
            settings,
            autoscaler: Autoscaler::default(),
            look: seen(),
            run_seconds,
            long_every: None,
            count: 0,
            waiting: VecDeque::new(),
            running: Vec::new(),
            ended: BTreeMap::new(),
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

    fn submit(&mut self, tasks: u64) {
        for _ in 0..tasks {
            self.count += 1;
            let is_long = self
                .long_every
                .is_some_and(|every| self.count.is_multiple_of(every));
            let seconds = if is_long { 600.0 } else { self.run_seconds };
            let id = self.count;
            self.waiting.push_back(Task { id, seconds });
        }
    }

    /// So many slots work from `now` to `until`.
    fn work(&mut self, slots: usize, mut now: f64, until: f64) {
        loop {
            while self.running.len() < slots
                && let Some(task) = self.waiting.pop_front()
            {
                self.running.push((now, task));
            }
            let ends = |(began, task): &(f64, Task)| began + task.seconds;
            let running = self.running.iter().enumerate();
            let next = running.min_by(|(_, one), (_, other)| ends(one).total_cmp(&ends(other)));
            let Some((index, end)) = next.map(|(index, run)| (index, ends(run))) else {
                return;
            };
            if end > until {
                return;
            }
            now = end;
            let (began, task) = self.running.swap_remove(index);
            self.ended.insert(task.id, (began, task.seconds));
        }
    }

    /// Looks at the runs as the store does.
    fn look_at_runs(&mut self, now: f64) {
        let target = f64::from(self.settings.target_seconds);
        let mut ages: Vec<f64> = self.running.iter().map(|(began, _)| now - began).collect();
        ages.sort_by(f64::total_cmp);
        let ended: Vec<(f64, f64)> = self.ended.values().rev().take(200).copied().collect();
        let began = ended.iter().map(|(began, _)| *began).reduce(f64::max);
        let median = ages.get(ages.len() / 2).copied();
        self.look.running_seconds =
            median.filter(|median| began.is_none_or(|began| began < now - median));
        self.look.run_seconds = (!ended.is_empty())
            .then(|| ended.iter().map(|(_, seconds)| seconds).sum::<f64>() / ended.len() as f64);
        let runs = ended
            .iter()
            .map(|(_, seconds)| *seconds)
            .chain(ages.clone());
        self.look.longest_run_seconds = runs.fold(0.0, f64::max);
        self.look.running = ages.len() as u64;
        self.look.held = ages.iter().filter(|age| **age > target).count() as u64;
    }

    /// `tasks` come in at once; five seconds of work are done; somebody decides.
    fn step(&mut self, tasks: u64) {
        self.submit(tasks);
        self.arrivals.push(tasks);
        let working = self.sizes.iter().rev().take(STARTING + 1).min();
        let working = working.copied().unwrap_or(1);
        let now = self.seconds() as f64;
        self.work(
            working as usize * self.look.slots as usize,
            now,
            now + STEP as f64,
        );

        self.look.at += TimeDelta::seconds(STEP);
        self.look_at_runs(now + STEP as f64);
        self.look.due = self.waiting.len() as u64;
        self.look.online = working;
        // The tasks are dealt out in turn.
        self.look.busy = working.min(self.look.running as u32);
        let mut buckets = [0; ARRIVAL_BUCKETS];
        let last_minute = &self.arrivals[self.arrivals.len() - 12..];
        for (bucket, two) in buckets.iter_mut().zip(last_minute.chunks(2)) {
            *bucket = two.iter().sum();
        }
        self.look.arrivals_per_second = steady_rate(buckets);

        let decision = self.autoscaler.decide(&self.settings, &self.look);
        self.autoscaler.carried_out(&decision);
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
    while !it.waiting.is_empty() {
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

#[test]
fn one_long_task_in_a_hundred_is_no_reason_to_start_all_workers() {
    let settings = Settings { max: 50, ..on() };
    let mut it = Simulation::new(settings, 1.0);
    it.long_every = Some(100);
    for _ in 0..720 {
        it.step(10);
        // 2 a second: two slots for the short ones, twelve for the long ones. Four workers, and a fifth to catch up.
        assert!(it.look.desired <= 5, "{}", it.reasons.join("\n"));
    }
    it.assert_cool_downs();
    assert!(it.waiting.len() < 200, "{}", it.reasons.join("\n"));
}
