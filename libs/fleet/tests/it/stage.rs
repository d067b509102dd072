//! The stage: a script as the program, and ways to wait for what the fleet shows.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use taskmaster_fleet::{
    Fleet, FleetError, FleetWorker, FleetWorkerState, Output, ProcessFleet, ProcessFleetConfig,
    Steps, Workload,
};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// A file of the repository, not written by the test: a file that this process has written may be "busy" when it is run,
/// because another test's fork still holds it open for a moment.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/worker.sh");

pub(crate) struct Stage {
    folder: TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    /// A fleet of workers that behave like this.
    pub(crate) fn config(&self, behaviour: &str) -> ProcessFleetConfig {
        ProcessFleetConfig {
            program: PROGRAM.into(),
            args: vec![behaviour.into()],
            envs: vec![("SECRET".into(), "hush".into())],
            grace: Duration::from_secs(60),
            output: Output::Files(self.logs()),
        }
    }

    pub(crate) async fn fleet(&self, behaviour: &str, count: u32) -> Fleet {
        let fleet = ProcessFleet::start(self.config(behaviour), count).await;
        let fleet = Fleet::Processes(fleet.unwrap());
        for number in 1..=count {
            self.logged(&format!("worker-{number}"), "ready", 1).await;
        }
        fleet
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.logs().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// Waits until a worker has written a line so often: the script is another process, and a file has no event.
    pub(crate) async fn logged(&self, name: &str, line: &str, times: usize) {
        let read = async {
            while self
                .log(name)
                .lines()
                .filter(|its| its.starts_with(line))
                .count()
                < times
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(30), read).await;
        assert!(
            waited.is_ok(),
            "{name} never wrote {line:?}: {}",
            self.log(name)
        );
    }
}

/// Waits until the fleet's workers are as wanted, and returns them.
pub(crate) async fn until(
    fleet: &Fleet,
    what: &str,
    wanted: impl FnMut(&Vec<FleetWorker>) -> bool,
) -> Vec<FleetWorker> {
    let mut changes = fleet.changes().unwrap();
    let waited = tokio::time::timeout(Duration::from_secs(30), changes.wait_for(wanted)).await;
    let workers = waited.map(|workers| workers.unwrap().clone());
    waited_for(workers.ok(), what, fleet).await
}

async fn waited_for(
    workers: Option<Vec<FleetWorker>>,
    what: &str,
    fleet: &Fleet,
) -> Vec<FleetWorker> {
    match workers {
        Some(workers) => workers,
        None => panic!("never {what}: {:?}", fleet.workers().await.unwrap()),
    }
}

/// The names of the workers in this state.
pub(crate) fn names(workers: &[FleetWorker], state: FleetWorkerState) -> Vec<&str> {
    workers
        .iter()
        .filter(|worker| worker.state == state)
        .map(|worker| worker.name.as_str())
        .collect()
}

pub(crate) fn loads(loads: &[(&str, u32)]) -> Workload {
    let loads = loads.iter();
    Workload {
        loads: loads
            .map(|(name, load)| ((*name).to_owned(), *load))
            .collect(),
        ..Workload::default()
    }
}

/// As a crash would: with SIGKILL, and with what the script has started.
pub(crate) fn crash(pid: u32) {
    // It may have ended just before.
    kill_process_group(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).ok();
}

/// As somebody else would who wants it to drain.
pub(crate) fn terminate(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::TERM).unwrap();
}

pub(crate) fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

pub(crate) fn is_unknown(result: Result<(), FleetError>, name: &str) -> bool {
    matches!(result, Err(FleetError::UnknownWorker(unknown)) if unknown == name)
}

/// Where steps go that no test looks at.
pub(crate) fn nobody() -> Steps {
    mpsc::unbounded_channel().0
}
