//! Growing, shrinking, killing, crashing, stopping.

use std::{
    collections::HashSet,
    fs,
    time::{Duration, Instant},
};

use taskmaster_fleet::{
    Fleet, FleetError,
    FleetWorkerState::{Draining, Restarting, Running},
    ProcessFleet, ScaleOutcome, Step, StepKind, Workload,
};
use tokio::sync::mpsc;

use crate::stage::{Stage, alive, crash, is_unknown, loads, names, nobody, terminate, until};

fn outcome(started: &[&str], draining: &[&str]) -> ScaleOutcome {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    ScaleOutcome {
        started: owned(started),
        draining: owned(draining),
        failed: vec![],
    }
}

#[tokio::test]
async fn starts_workers_with_names_and_secrets_in_their_environment() {
    let stage = Stage::new();
    let fleet = stage.fleet("polite", 2).await;
    assert_eq!(fleet.kind().as_str(), "processes");
    assert_eq!(fleet.desired().await.unwrap(), Some(2));
    let workers = fleet.workers().await.unwrap();
    assert_eq!(names(&workers, Running), ["worker-1", "worker-2"]);
    let us = std::process::id();
    assert!(stage.log("worker-2").starts_with(&format!(
        "start worker --name worker-2 polite parent={us} secret=hush\n"
    )));
    for worker in &workers {
        let pid = worker.pid.unwrap();
        let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert!(!arguments.contains("hush"));
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let group = stat
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .nth(2)
            .unwrap()
            .to_owned();
        assert_eq!(group, pid.to_string(), "a group of its own");
    }
    fleet.shutdown().await;
    assert_eq!(fleet.workers().await.unwrap(), []);
    for worker in workers {
        assert!(!alive(worker.pid.unwrap()));
        assert!(
            stage.log(&worker.name).ends_with("stopped\n"),
            "it was asked, not killed"
        );
    }
    let late = fleet.scale(3, &Workload::default(), nobody()).await;
    assert!(matches!(late, Err(FleetError::ShuttingDown)));
}

#[tokio::test]
async fn shrinks_by_those_with_least_to_do_and_never_reuses_a_name_in_use() {
    let stage = Stage::new();
    // They drain until their second SIGTERM.
    let fleet = stage.fleet("second", 4).await;
    let busy = loads(&[
        ("worker-1", 0),
        ("worker-2", 3),
        ("worker-3", 1),
        ("worker-4", 2),
    ]);
    assert_eq!(
        fleet.scale(2, &busy, nobody()).await.unwrap(),
        outcome(&[], &["worker-1", "worker-3"])
    );
    assert_eq!(fleet.desired().await.unwrap(), Some(2));
    let workers = fleet.workers().await.unwrap();
    assert_eq!(names(&workers, Draining), ["worker-1", "worker-3"]);
    assert_eq!(names(&workers, Running), ["worker-2", "worker-4"]);
    stage.logged("worker-1", "term 1", 1).await;
    stage.logged("worker-3", "term 1", 1).await;
    // The same again changes nothing; larger again takes new numbers.
    assert_eq!(
        fleet.scale(2, &busy, nobody()).await.unwrap(),
        outcome(&[], &[])
    );
    assert_eq!(
        fleet.scale(4, &busy, nobody()).await.unwrap(),
        outcome(&["worker-5", "worker-6"], &[])
    );
    stage.logged("worker-5", "ready", 1).await;

    // A worker that drains and is killed gets its second SIGTERM at once, and the size stays.
    fleet.kill("worker-1", nobody()).await.unwrap();
    until(&fleet, "worker-1 gone", |workers| {
        workers.iter().all(|worker| worker.name != "worker-1")
    })
    .await;
    assert_eq!(fleet.desired().await.unwrap(), Some(4));
    assert!(stage.log("worker-1").ends_with("term 2\n"));
    assert_eq!(
        fleet.scale(5, &busy, nobody()).await.unwrap(),
        outcome(&["worker-1"], &[])
    );
    for number in 1..=6 {
        fleet
            .kill(&format!("worker-{number}"), nobody())
            .await
            .unwrap();
    }
    assert_eq!(fleet.desired().await.unwrap(), Some(0));
    // They would get their second SIGTERM after 10 s, which this test does not wait for.
    for worker in fleet.workers().await.unwrap() {
        crash(worker.pid.unwrap());
    }
    until(&fleet, "empty", Vec::is_empty).await;
}

#[tokio::test]
async fn kills_only_workers_of_its_own() {
    let stage = Stage::new();
    let fleet = stage.fleet("polite", 3).await;
    for name in [
        "worker-4",
        "worker",
        "",
        "worker-1 ",
        "worker-1; rm -rf /",
        "../worker-1",
        "-1",
        "1",
    ] {
        assert!(
            is_unknown(fleet.kill(name, nobody()).await, name),
            "{name:?}"
        );
    }
    assert_eq!(fleet.desired().await.unwrap(), Some(3));
    let before = fleet.workers().await.unwrap();
    fleet.kill("worker-2", nobody()).await.unwrap();
    assert_eq!(fleet.desired().await.unwrap(), Some(2));
    let after = until(&fleet, "two", |workers| workers.len() == 2).await;
    assert_eq!(
        after,
        [before[0].clone(), before[2].clone()],
        "the others were not touched"
    );
    assert!(is_unknown(
        fleet.kill("worker-2", nobody()).await,
        "worker-2"
    ));
    // The lowest free number comes back.
    assert_eq!(
        fleet
            .scale(3, &Workload::default(), nobody())
            .await
            .unwrap(),
        outcome(&["worker-2"], &[])
    );
    fleet.shutdown().await;
}

#[tokio::test]
async fn drains_one_worker_and_is_smaller_by_it_from_then_on() {
    let stage = Stage::new();
    // They drain until their second SIGTERM.
    let fleet = stage.fleet("second", 3).await;
    assert!(is_unknown(
        fleet.drain("worker-4", &HashSet::new(), nobody()).await,
        "worker-4"
    ));
    for _ in 0..2 {
        fleet
            .drain("worker-2", &HashSet::new(), nobody())
            .await
            .unwrap();
        assert_eq!(fleet.desired().await.unwrap(), Some(2));
    }
    let workers = fleet.workers().await.unwrap();
    assert_eq!(names(&workers, Draining), ["worker-2"]);
    assert_eq!(names(&workers, Running), ["worker-1", "worker-3"]);
    stage.logged("worker-2", "term 1", 1).await;
    // One that drains does not count, nor is its number free.
    assert_eq!(
        fleet
            .scale(3, &Workload::default(), nobody())
            .await
            .unwrap(),
        outcome(&["worker-4"], &[])
    );
    // Only a kill is a second SIGTERM.
    assert_eq!(stage.log("worker-2").matches("term").count(), 1);
    fleet.kill("worker-2", nobody()).await.unwrap();
    until(&fleet, "worker-2 gone", |workers| workers.len() == 3).await;
    assert_eq!(fleet.desired().await.unwrap(), Some(3));
    for worker in fleet.workers().await.unwrap() {
        fleet.kill(&worker.name, nobody()).await.unwrap();
        crash(worker.pid.unwrap());
    }
    until(&fleet, "empty", Vec::is_empty).await;
}

#[tokio::test]
async fn a_worker_that_somebody_else_drained_stays_away() {
    let stage = Stage::new();
    let fleet = stage.fleet("polite", 2).await;
    let before = fleet.workers().await.unwrap();
    terminate(before[0].pid.unwrap());
    let after = until(&fleet, "one", |workers| workers.len() == 1).await;
    assert_eq!(after, before[1..]);
    assert_eq!(fleet.desired().await.unwrap(), Some(1));
    assert!(is_unknown(
        fleet.drain("worker-1", &HashSet::new(), nobody()).await,
        "worker-1"
    ));
    assert_eq!(
        fleet.desired().await.unwrap(),
        Some(1),
        "it is counted once"
    );
    assert_eq!(stage.log("worker-1").matches("ready").count(), 1);
    assert_eq!(
        fleet
            .scale(2, &Workload::default(), nobody())
            .await
            .unwrap(),
        outcome(&["worker-1"], &[])
    );
    fleet.shutdown().await;
}

#[tokio::test]
async fn starts_a_crashed_worker_again_under_its_name() {
    let stage = Stage::new();
    let fleet = stage.fleet("polite", 2).await;
    let before = fleet.workers().await.unwrap();
    let pid = before[0].pid.unwrap();
    crash(pid);
    until(&fleet, "restarting", |workers| {
        names(workers, Restarting) == ["worker-1"]
    })
    .await;
    let after = until(&fleet, "running", |workers| {
        names(workers, Running).len() == 2
    })
    .await;
    assert_ne!(after[0].pid, before[0].pid);
    assert_eq!(after[1], before[1]);
    stage.logged("worker-1", "ready", 2).await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn a_worker_that_crashes_again_and_again_waits_longer_and_can_still_be_stopped() {
    let stage = Stage::new();
    let begin = Instant::now();
    let fleet = ProcessFleet::start(stage.config("crash-worker-1"), 2)
        .await
        .unwrap();
    let fleet = Fleet::Processes(fleet);
    stage.logged("worker-1", "start", 4).await;
    assert!(begin.elapsed() >= Duration::from_millis(100 + 200 + 400));
    // It still counts: the one that is well is not asked to do the work of three.
    assert_eq!(fleet.desired().await.unwrap(), Some(2));
    until(&fleet, "restarting", |workers| {
        names(workers, Restarting) == ["worker-1"]
    })
    .await;
    fleet.kill("worker-1", nobody()).await.unwrap();
    until(&fleet, "gone", |workers| workers.len() == 1).await;
    fleet.shutdown().await;
}

#[tokio::test]
async fn scalings_at_the_same_time_do_not_add_up() {
    let stage = Stage::new();
    let fleet = stage.fleet("polite", 1).await;
    let scale = |count| {
        let fleet = fleet.clone();
        tokio::spawn(async move {
            fleet
                .scale(count, &Workload::default(), nobody())
                .await
                .unwrap()
        })
    };
    let scalings: Vec<_> = [5, 5, 5, 5].map(scale).into_iter().collect();
    let mut started = 0;
    for scaling in scalings {
        started += scaling.await.unwrap().started.len();
    }
    assert_eq!(started, 4);
    assert_eq!(fleet.workers().await.unwrap().len(), 5);
    for count in [0, 51] {
        let refused = fleet.scale(count, &Workload::default(), nobody()).await;
        assert!(matches!(refused, Err(FleetError::OutOfRange { .. })));
    }
    assert_eq!(fleet.desired().await.unwrap(), Some(5));
    fleet.shutdown().await;
}

#[tokio::test]
async fn who_does_not_stop_is_told_again_and_then_killed() {
    let stage = Stage::new();
    let mut config = stage.config("stubborn");
    config.grace = Duration::from_millis(100);
    let fleet = Fleet::Processes(ProcessFleet::start(config, 1).await.unwrap());
    stage.logged("worker-1", "ready", 1).await;
    let pid = fleet.workers().await.unwrap()[0].pid.unwrap();
    fleet.shutdown().await;
    assert!(!alive(pid));
    assert_eq!(
        stage.log("worker-1").matches("ignored").count(),
        2,
        "two SIGTERMs before the SIGKILL"
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error_not_a_loop() {
    let stage = Stage::new();
    let mut config = stage.config("polite");
    config.program = stage.logs().join("nowhere");
    let error = ProcessFleet::start(config, 2).await.unwrap_err();
    assert!(
        matches!(&error, FleetError::Io { name, .. } if name == "worker-1"),
        "{error}"
    );
}

#[tokio::test]
async fn one_that_cannot_be_started_takes_nothing_from_those_that_were() {
    let stage = Stage::new();
    let fleet = stage.fleet("polite", 1).await;
    fs::create_dir(stage.logs().join("worker-3.log")).unwrap();
    let (steps, mut told) = mpsc::unbounded_channel();
    let scaled = fleet.scale(4, &Workload::default(), steps).await.unwrap();
    assert_eq!(scaled.started, ["worker-2"]);
    let failed: Vec<_> = scaled
        .failed
        .iter()
        .map(|it| (&*it.name, it.step))
        .collect();
    assert_eq!(failed, [("worker-3", StepKind::Started)]);
    assert_eq!(fleet.desired().await.unwrap(), Some(2));
    assert_eq!(told.recv().await.unwrap().kind, StepKind::Started);
    let last = told.recv().await.unwrap();
    assert_eq!((&*last.name, last.kind), ("worker-3", StepKind::Failed));
    assert_eq!(last.reason.as_ref(), Some(&scaled.failed[0].reason));
    fleet.shutdown().await;
}

#[tokio::test]
async fn tells_of_each_step_until_all_that_was_begun_is_over() {
    let stage = Stage::new();
    let fleet = stage.fleet("polite", 1).await;
    let step = |name: &str, kind| Step {
        name: name.into(),
        kind,
        reason: None,
    };

    let (steps, mut told) = mpsc::unbounded_channel();
    fleet.scale(2, &Workload::default(), steps).await.unwrap();
    assert_eq!(told.recv().await, Some(step("worker-2", StepKind::Started)));
    assert_eq!(told.recv().await, None, "a start is over when it is made");

    stage.logged("worker-2", "ready", 1).await;
    let (steps, mut told) = mpsc::unbounded_channel();
    fleet
        .drain("worker-2", &HashSet::new(), steps)
        .await
        .unwrap();
    assert_eq!(
        told.recv().await,
        Some(step("worker-2", StepKind::Draining))
    );
    assert_eq!(told.recv().await, Some(step("worker-2", StepKind::Removed)));
    assert_eq!(told.recv().await, None);
    fleet.shutdown().await;
}
