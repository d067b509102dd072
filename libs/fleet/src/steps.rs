//! What is told of a change to the fleet while it goes on.

use serde::Serialize;
use tokio::sync::mpsc;

/// What a scaling did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScaleOutcome {
    /// The names of the workers that were started.
    pub started: Vec<String>,
    /// The names of the workers that were told to drain.
    pub draining: Vec<String>,
    /// Those that could not be started.
    pub failed: Vec<ScaleFailure>,
}

/// A worker that could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScaleFailure {
    /// Its name.
    pub name: String,
    /// What was not reached.
    pub step: StepKind,
    /// Why, in words for the caller.
    pub reason: String,
}

/// Something that was done to one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The worker, as [`FleetWorker::name`](crate::FleetWorker::name).
    pub name: String,
    /// What was done.
    pub kind: StepKind,
    /// Why it failed.
    pub reason: Option<String>,
}

/// What was done to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Its container is made.
    Created,
    /// It runs.
    Started,
    /// It was told to go.
    Draining,
    /// It has ended.
    Stopped,
    /// It is no more.
    Removed,
    /// A step came to nothing.
    Failed,
}

/// Where steps are told as they are done. They go on after a call has returned; when the last clone is dropped, all that
/// the call began is over. Nobody has to listen.
pub type Steps = mpsc::UnboundedSender<Step>;

/// Tells of something that was done to a worker. Nobody has to listen.
pub(crate) fn tell(steps: &Steps, name: &str, kind: StepKind) {
    let name = name.to_owned();
    let reason = None;
    steps.send(Step { name, kind, reason }).ok();
}

/// Tells of a step that came to nothing.
pub(crate) fn tell_failure(steps: &Steps, name: &str, reason: &str) {
    let step = Step {
        name: name.to_owned(),
        kind: StepKind::Failed,
        reason: Some(reason.to_owned()),
    };
    steps.send(step).ok();
}
