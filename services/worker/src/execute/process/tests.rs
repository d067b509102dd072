//! Real processes: how each end is seen, and that nothing of a command is left.

use std::path::Path;
use std::sync::{Arc, Mutex};

use taskmaster_core::{ExecutorKind, TaskLease};
use uuid::Uuid;

use super::*;
use crate::capture::Capture;
use crate::oom::OomKills;
use crate::reaper::tests::REAPER;
use crate::stop;

fn started(command: &str) -> Started {
    Started {
        task: TaskLease {
            id: Uuid::nil(),
            lease: 1,
        },
        attempt: 2,
        max_attempts: 3,
        command: command.to_owned(),
        argv: None,
        env: vec![("GREETING".to_owned(), "hello".to_owned())],
        stdin: None,
        timeout_seconds: None,
        executor: ExecutorKind::Process,
        simulate: None,
    }
}

fn settings() -> Settings {
    Settings {
        worker_name: "worker-7".to_owned(),
        kill_grace: Duration::from_millis(300),
        simulate: None,
        reaper: REAPER.clone(),
        oom_kills: Arc::new(OomKills::open()),
    }
}

async fn run_with(started: &Started, stop: Stop) -> (End, String) {
    let capture = Arc::new(Mutex::new(Capture::new(
        started.task,
        started.attempt,
        1 << 20,
    )));
    let end = run(started, &settings(), &capture, stop).await;
    let pieces = capture.lock().unwrap().finish().pieces;
    let bytes = pieces.into_iter().flat_map(|piece| piece.data).collect();
    (end, String::from_utf8(bytes).unwrap())
}

async fn run_to_end(started: &Started) -> (End, String) {
    let (_never, stop) = stop::stop();
    run_with(started, stop).await
}

#[tokio::test]
async fn exit_codes_signals_and_output() {
    let (end, output) = run_to_end(&started(
        "echo $GREETING $TASKMASTER_ATTEMPT $TASKMASTER_WORKER; exit 3",
    ))
    .await;
    assert_eq!(
        end,
        End::Exited(Exit {
            code: Some(3),
            ..Exit::default()
        })
    );
    assert_eq!(output, "hello 2 worker-7\n");
    let (end, _) = run_to_end(&started("kill -9 $$")).await;
    assert_eq!(
        end,
        End::Exited(Exit {
            signal: Some(9),
            ..Exit::default()
        })
    );
}

#[tokio::test]
async fn argv_is_not_seen_by_a_shell() {
    let mut task = started("");
    task.argv = Some(vec!["echo".to_owned(), "$HOME; exit 1".to_owned()]);
    assert_eq!(
        run_to_end(&task).await,
        (
            End::Exited(Exit {
                code: Some(0),
                ..Exit::default()
            }),
            "$HOME; exit 1\n".to_owned()
        )
    );
    task.argv = Some(vec!["no-such-program-anywhere".to_owned()]);
    let (end, _) = run_to_end(&task).await;
    assert!(
        matches!(&end, End::CouldNotStart(reason) if reason.contains("no-such-program-anywhere")),
        "{end:?}"
    );
}

#[tokio::test]
async fn standard_input_arrives_whole_and_need_not_be_read() {
    let mut task = started("wc -c");
    task.stdin = Some("x".repeat(500_000));
    assert_eq!(run_to_end(&task).await.1.trim(), "500000");
    task.command = "true".to_owned();
    assert_eq!(
        run_to_end(&task).await.0,
        End::Exited(Exit {
            code: Some(0),
            ..Exit::default()
        })
    );
}

#[tokio::test]
async fn the_time_limit_ends_the_whole_group_even_if_it_ignores_sigterm() {
    let mut task =
        started("trap '' TERM; sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait");
    task.timeout_seconds = Some(1);
    let (end, output) = run_to_end(&task).await;
    assert_eq!(
        end,
        End::TimedOut(Exit {
            signal: Some(9),
            ..Exit::default()
        })
    );
    assert_gone(&output).await;
}

#[tokio::test]
async fn what_a_command_leaves_running_is_ended_with_it() {
    let (end, output) = run_to_end(&started("sleep 1000 & echo $!")).await;
    assert_eq!(
        end,
        End::Exited(Exit {
            code: Some(0),
            ..Exit::default()
        })
    );
    assert_gone(&output).await;
}

#[tokio::test]
async fn a_cancelled_command_may_clean_up() {
    let task = started("trap 'echo cleaned; exit 0' TERM; echo up; while :; do sleep 0.05; done");
    let (send, stop) = stop::stop();
    let capture = Arc::new(Mutex::new(Capture::new(task.task, 1, 1 << 20)));
    let settings = Settings {
        kill_grace: Duration::from_secs(30),
        ..settings()
    };
    let running = run(&task, &settings, &capture, stop);
    let asked = async {
        while capture.lock().unwrap().take().pieces.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(send.tell(StopReason::Cancelled));
    };
    let (end, ()) = tokio::join!(running, asked);
    assert_eq!(
        end,
        End::Stopped(
            StopReason::Cancelled,
            Exit {
                code: Some(0),
                ..Exit::default()
            }
        )
    );
    // The shell may say on standard error that a part of it was terminated.
    let pieces = capture.lock().unwrap().finish().pieces;
    assert!(
        pieces
            .iter()
            .any(|piece| piece.stream == Stream::Stdout && piece.data == b"cleaned\n")
    );
}

#[tokio::test]
async fn what_left_the_group_is_ended_too_and_holds_nothing_up() {
    // Each holds the pipe of standard output open. The last one is in the group, and does not want to end.
    let script = "setsid sh -c 'touch $$; exec sleep 1000' &
        (setsid sh -c 'touch $$; exec sleep 1000' &)
        (env -i setsid sh -c 'touch $$; exec sleep 1000' &)
        sh -c 'trap \"\" TERM; touch $$; sleep 1000' &
        until [ $(ls | wc -l) = 4 ]; do sleep 0.02; done";
    for (limit, stopped) in [(None, false), (Some(3), false), (None, true)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let mut task = started(&format!("cd {}; {script}", path.display()));
        task.timeout_seconds = limit;
        if limit.is_some() || stopped {
            task.command += "; sleep 1000";
        }
        let pids = || -> Vec<String> {
            let entries = std::fs::read_dir(path).unwrap().flatten();
            entries
                .map(|entry| entry.file_name().into_string().unwrap())
                .collect()
        };
        let (send, stop) = stop::stop();
        let asked = async {
            while stopped && pids().len() < 4 {
                tokio::task::yield_now().await;
            }
            stopped && send.tell(StopReason::LeaseLost)
        };
        let ((end, _), _) = tokio::join!(run_with(&task, stop), asked);
        match end {
            End::Exited(Exit { code: Some(0), .. }) => assert!(!stopped && limit.is_none()),
            End::TimedOut(_) => assert!(limit.is_some()),
            End::Stopped(StopReason::LeaseLost, _) => assert!(stopped),
            other => panic!("{other:?}"),
        }
        assert_eq!(pids().len(), 4);
        for pid in pids() {
            let left = Path::new("/proc").join(&pid).exists();
            assert!(!left, "{pid} is left, after {end:?}");
        }
    }
}

/// Waits until the process whose id was printed has gone, or is a zombie that only waits to be collected by init: it
/// has been killed, and the kernel takes a moment.
async fn assert_gone(pid: &str) {
    let stat_file = Path::new("/proc").join(pid.trim()).join("stat");
    let gone = async {
        loop {
            let stat = std::fs::read_to_string(&stat_file).unwrap_or_default();
            let state = stat
                .rsplit_once(") ")
                .map_or("gone", |(_, rest)| &rest[..1]);
            if matches!(state, "gone" | "Z" | "X") {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the process is still there");
}
