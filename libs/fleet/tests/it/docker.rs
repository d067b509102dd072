//! A fleet of containers: who is told to go, how often, and what is left of that when somebody fails on the way.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use taskmaster_fleet::{FleetError, Step, StepKind, ToldToGo, Workload};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::engine::{Engine, host};
use crate::stage::nobody;

/// All steps until the operation is over, as `p-worker-1 Draining`.
async fn all(mut told: mpsc::UnboundedReceiver<Step>) -> Vec<String> {
    let mut steps = Vec::new();
    let collect = async {
        while let Some(step) = told.recv().await {
            steps.push(format!("{} {:?}", step.name, step.kind));
        }
    };
    timeout(Duration::from_secs(30), collect).await.unwrap();
    steps
}

fn at(time: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(time).unwrap().to_utc()
}

fn told_to_go(name: &str) -> ToldToGo {
    ToldToGo {
        name: name.to_owned(),
        at: at("2026-01-01T00:01:00Z"),
        kill: false,
    }
}

fn draining(numbers: &[u32]) -> Workload {
    Workload {
        draining: numbers.iter().map(|number| host(*number)).collect(),
        ..Workload::default()
    }
}

const DRAINED: [&str; 3] = [
    "p-worker-1 Draining",
    "p-worker-1 Stopped",
    "p-worker-1 Removed",
];

#[tokio::test]
async fn who_is_drained_twice_is_told_once() {
    let engine = Engine::with(&[1, 2]).await;
    let fleet = engine.fleet();
    let (first, first_told) = mpsc::unbounded_channel();
    let (second, second_told) = mpsc::unbounded_channel();
    fleet
        .drain("p-worker-1", &HashSet::new(), first)
        .await
        .unwrap();
    engine.until_asked("stop p-worker-1").await;
    fleet
        .drain("p-worker-1", &HashSet::new(), second)
        .await
        .unwrap();
    engine.end(1);
    assert_eq!(all(first_told).await, DRAINED);
    assert_eq!(all(second_told).await, DRAINED, "it waits as well");
    assert_eq!(engine.asked(), ["stop p-worker-1", "remove p-worker-1"]);
}

#[tokio::test]
async fn who_drains_by_another_programs_order_is_not_told_again() {
    let engine = Engine::with(&[1, 2]).await;
    let fleet = engine.fleet();
    let (steps, told) = mpsc::unbounded_channel();
    let draining = HashSet::from([host(1)]);
    fleet.drain("p-worker-1", &draining, steps).await.unwrap();
    engine.until_asked("wait p-worker-1").await;
    engine.end(1);
    assert_eq!(all(told).await, DRAINED);
    assert_eq!(engine.asked(), ["wait p-worker-1", "remove p-worker-1"]);
}

#[tokio::test]
async fn a_kill_is_more_than_the_drain_before_it() {
    let engine = Engine::with(&[1, 2]).await;
    let fleet = engine.fleet();
    let (drain, drained) = mpsc::unbounded_channel();
    let (kill, killed) = mpsc::unbounded_channel();
    fleet
        .drain("p-worker-1", &HashSet::new(), drain)
        .await
        .unwrap();
    engine.until_asked("stop p-worker-1").await;
    fleet.kill("p-worker-1", kill).await.unwrap();
    engine.until_asked("SIGTERM p-worker-1").await;
    engine.end(1);
    assert_eq!(all(drained).await, DRAINED);
    assert_eq!(all(killed).await, DRAINED);
    let asked = engine.asked();
    let removed = asked.iter().filter(|line| line.starts_with("remove"));
    assert_eq!(removed.count(), 1, "{asked:?}");
}

#[tokio::test]
async fn an_engine_that_was_away_tells_nobody_again() {
    let engine = Engine::with(&[1, 2]).await;
    let fleet = engine.fleet();
    let (steps, told) = mpsc::unbounded_channel();
    fleet
        .drain("p-worker-1", &HashSet::new(), steps)
        .await
        .unwrap();
    engine.until_asked("stop p-worker-1").await;
    engine.set_away(true);
    let away = fleet.scale(1, &Workload::default(), nobody()).await;
    assert!(matches!(away, Err(FleetError::EngineAway)), "{away:?}");
    engine.set_away(false);
    engine.until_asked("wait p-worker-1").await;
    engine.end(1);
    assert_eq!(all(told).await, DRAINED);
    let asked = ["stop p-worker-1", "wait p-worker-1", "remove p-worker-1"];
    assert_eq!(engine.asked(), asked);
}

#[tokio::test]
async fn what_another_program_left_is_followed_and_what_was_started_since_is_left_alone() {
    let engine = Engine::start(&[
        (1, "exited", "2026-01-01T00:00:00Z"),
        (2, "running", "2026-01-01T00:00:00Z"),
        (3, "running", "2026-01-01T00:02:00Z"),
        (4, "running", "2026-01-01T00:00:00Z"),
    ])
    .await;
    let fleet = engine.fleet();
    let (steps, told) = mpsc::unbounded_channel();
    let names = ["p-worker-1", "p-worker-2", "p-worker-3", "p-worker-9"];
    fleet.resume(&names.map(told_to_go), steps).await.unwrap();
    engine.until_asked("wait p-worker-2").await;
    engine.until_asked("remove p-worker-1").await;
    engine.end(2);
    let mut told = all(told).await;
    told.sort();
    let expected = [
        "p-worker-1 Removed",
        "p-worker-1 Stopped",
        "p-worker-2 Removed",
        "p-worker-2 Stopped",
        "p-worker-3 Removed",
        "p-worker-9 Removed",
    ];
    assert_eq!(told, expected);
    let mut asked = engine.asked();
    asked.sort();
    let expected = ["remove p-worker-1", "remove p-worker-2", "wait p-worker-2"];
    assert_eq!(asked, expected, "nobody was told again");
}

#[tokio::test]
async fn who_does_not_go_in_its_time_is_told_again() {
    let engine = Engine::with(&[1, 2]).await;
    let fleet = engine.fleet();
    let (steps, told) = mpsc::unbounded_channel();
    let left = [told_to_go("p-worker-1")];
    fleet.resume(&left, steps).await.unwrap();
    engine.until_asked("stop p-worker-1").await;
    engine.end(1);
    assert_eq!(all(told).await, DRAINED[1..]);
    let asked = ["wait p-worker-1", "stop p-worker-1", "remove p-worker-1"];
    assert_eq!(engine.asked(), asked);
}

#[tokio::test]
async fn who_drains_by_somebody_elses_order_does_not_count() {
    let engine = Engine::with(&[1, 2, 3]).await;
    let fleet = engine.fleet();
    let workload = draining(&[1, 2]);
    let desired = fleet.desired_without(&workload.draining).await.unwrap();
    assert_eq!(desired, Some(1));
    let scaled = fleet.scale(2, &workload, nobody()).await.unwrap();
    assert_eq!(scaled.started, ["p-worker-4"]);
    assert_eq!(scaled.draining, [""; 0]);
    assert_eq!(engine.asked(), ["create p-worker-4", "start p-worker-4"]);
    let all = fleet.desired().await.unwrap();
    assert_eq!(all, Some(4));
}

#[tokio::test]
async fn the_idle_go_first_and_then_those_that_have_least_left() {
    let engine = Engine::with(&[1, 2, 3, 4]).await;
    let fleet = engine.fleet();
    let loads = [
        (host(1), 2),
        (host(2), 1),
        (host(3), 4),
        ("p-worker-4".to_owned(), 3),
    ];
    let workload = Workload {
        loads: HashMap::from(loads),
        ..Workload::default()
    };
    let scaled = fleet.scale(2, &workload, nobody()).await.unwrap();
    assert_eq!(scaled.draining, ["p-worker-2", "p-worker-1"]);
}

#[tokio::test]
async fn one_that_cannot_be_made_takes_nothing_from_the_others() {
    let engine = Engine::with(&[1]).await;
    let fleet = engine.fleet();
    engine.cannot_make("p-worker-3");
    let (steps, told) = mpsc::unbounded_channel();
    let scaled = fleet.scale(4, &Workload::default(), steps).await.unwrap();
    assert_eq!(scaled.started, ["p-worker-2", "p-worker-4"]);
    let failed: Vec<_> = scaled
        .failed
        .iter()
        .map(|it| (&*it.name, it.step))
        .collect();
    assert_eq!(failed, [("p-worker-3", StepKind::Created)]);
    let told = all(told).await;
    assert!(told.contains(&"p-worker-3 Failed".to_owned()), "{told:?}");
    assert_eq!(told.len(), 5, "{told:?}");
}
