//! Nothing is run: a task that takes its time and ends as it was told, for demonstrations and load tests.

use std::time::Duration;

use taskmaster_core::SimulateOptions;
use taskmaster_store::start::Started;

use super::{End, Exit};
use crate::stop::Stop;

pub(super) async fn run(started: &Started, options: SimulateOptions, mut stop: Stop) -> End {
    let end = Exit {
        code: Some(i32::from(options.fail)),
        ..Exit::default()
    };
    if options.run_ms == 0 {
        return End::Exited(end);
    }
    let limit = started
        .timeout_seconds
        .map(|seconds| Duration::from_secs(seconds.into()));
    let run = Duration::from_millis(options.run_ms.into());
    tokio::select! {
        () = tokio::time::sleep(limit.map_or(run, |limit| limit.min(run))) => {
            if limit.is_some_and(|limit| limit < run) { End::TimedOut(Exit::default()) } else { End::Exited(end) }
        }
        reason = stop.told() => End::Stopped(reason, Exit::default()),
    }
}
