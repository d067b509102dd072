//! Takes over what another API has begun and does not carry out any more.

use std::collections::BTreeMap;
use std::time::Duration;

use taskmaster_fleet::{FleetKind, Steps, ToldToGo};
use taskmaster_store::audit::{self, Entry, Outcome, SILENCE_SECONDS, Step};
use taskmaster_store::bounded;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::end;
use super::recorder::Recorder;
use super::turn::Turn;
use crate::ApiState;
use crate::error::ApiError;

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(SILENCE_SECONDS.unsigned_abs() as u64);

/// Looks at once and then every 30 s, until this API stops.
pub(crate) async fn adopt(state: ApiState) {
    let mut tick = interval(INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while state
        .shutdown
        .run_until_cancelled(tick.tick())
        .await
        .is_some()
    {
        let adopting = audit::adopt(&state.pool, state.fleet.kind().as_str());
        match bounded(adopting).await {
            Ok(entries) => {
                for entry in entries {
                    let id = entry.id;
                    state.operations.spawn(id, take_over(state.clone(), entry));
                }
            }
            Err(error) => tracing::debug!(%error, "looks for unfinished operations later"),
        }
    }
}

async fn take_over(state: ApiState, entry: Entry) {
    let steps = entry.steps.0;
    let left = Left::of(&entry.action, &steps, entry.decided_at.is_some());
    tracing::info!(operation.id = %entry.id, going = ?left.going, "takes an operation over");
    let written = i32::try_from(steps.len()).unwrap_or(i32::MAX);
    let (sender, arriving) = mpsc::unbounded_channel();
    let recorder = Recorder::new(state.pool.clone(), entry.id, written, arriving, None);
    let (outcome, error) = left.verdict();
    // Child processes have ended with the process that started them, and others of their names are no matter of it.
    let gone = matches!(state.fleet.kind(), FleetKind::None | FleetKind::Processes);
    if !gone && !left.going.is_empty() {
        if let Err(error) = resume(&state, &left.going, sender).await {
            // It stays unfinished, and is found again.
            tracing::warn!(operation.id = %entry.id, %error, "cannot go on with an operation");
            if state.shutdown.is_cancelled() {
                recorder.release().await;
            }
            return;
        }
    } else {
        drop(sender);
    }
    end(&state, recorder, outcome, error.map(str::to_owned)).await;
}

/// In its turn, so that no scaling counts on a worker that is to go, or starts it again.
async fn resume(state: &ApiState, going: &[ToldToGo], steps: Steps) -> Result<(), ApiError> {
    let turn = Turn::take(state).await?;
    let resumed = state.fleet.resume(going, steps).await;
    turn.give_up().await;
    Ok(resumed?)
}

/// What was left of an operation.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// Those that were told to go, and may not be gone.
    going: Vec<ToldToGo>,
    /// Whether some were about to start.
    starting: bool,
    failed: bool,
    begun: bool,
    /// Whether the steps tell all that there was to do.
    decided: bool,
}

impl Left {
    fn of(action: &str, steps: &[Step], decided: bool) -> Self {
        let last: BTreeMap<&str, &str> = steps
            .iter()
            .map(|step| (&*step.name, &*step.kind))
            .collect();
        let names =
            |kinds: &'static [&str]| last.iter().filter(move |(_, kind)| kinds.contains(kind));
        Self {
            going: names(&["draining", "stopped"])
                .filter_map(|(name, _)| {
                    let told = |step: &&Step| step.name == **name && step.kind == "draining";
                    Some(ToldToGo {
                        name: (*name).to_owned(),
                        at: steps.iter().rfind(told)?.at,
                        kill: action == "fleet.kill",
                    })
                })
                .collect(),
            starting: names(&["created"]).next().is_some(),
            failed: steps.iter().any(|step| step.kind == "failed"),
            begun: !steps.is_empty(),
            decided,
        }
    }

    fn verdict(&self) -> (Outcome, Option<&'static str>) {
        if !self.begun {
            (
                Outcome::Failed,
                Some("the API ended before anything was known to be done"),
            )
        } else if self.starting {
            let error = "the API ended before it was known whether all workers had started";
            (Outcome::Partial, Some(error))
        } else if !self.decided {
            let error = "the API ended before all of it was decided";
            (Outcome::Partial, Some(error))
        } else if self.failed {
            (Outcome::Partial, None)
        } else {
            (Outcome::Done, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;

    fn left(steps: &[(&str, &str)], decided: bool) -> (Vec<String>, Outcome) {
        let steps: Vec<Step> = steps
            .iter()
            .map(|(name, kind)| Step {
                at: DateTime::UNIX_EPOCH,
                name: (*name).to_owned(),
                kind: (*kind).to_owned(),
                reason: None,
            })
            .collect();
        let left = Left::of("fleet.scale", &steps, decided);
        let (outcome, _) = left.verdict();
        let names = left.going.into_iter().map(|told| told.name);
        (names.collect(), outcome)
    }

    #[test]
    fn when_they_were_told_is_known_and_whether_they_were_killed() {
        let step = |seconds, kind: &str| Step {
            at: DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds),
            name: "w-1".to_owned(),
            kind: kind.to_owned(),
            reason: None,
        };
        let steps = [step(1, "draining"), step(9, "stopped")];
        for (action, kill) in [("fleet.kill", true), ("fleet.drain", false)] {
            let told = ToldToGo {
                name: "w-1".to_owned(),
                at: DateTime::UNIX_EPOCH + TimeDelta::seconds(1),
                kill,
            };
            assert_eq!(Left::of(action, &steps, true).going, [told]);
        }
    }

    #[test]
    fn who_was_told_to_go_and_is_not_removed_is_left() {
        assert_eq!(left(&[], false), (vec![], Outcome::Failed));
        assert_eq!(left(&[], true), (vec![], Outcome::Failed));
        let all = [
            ("w-1", "draining"),
            ("w-2", "draining"),
            ("w-3", "draining"),
            ("w-1", "stopped"),
            ("w-3", "stopped"),
            ("w-3", "removed"),
        ];
        let going = vec!["w-1".to_owned(), "w-2".to_owned()];
        assert_eq!(left(&all, true), (going.clone(), Outcome::Done));
        // There may have been more to tell.
        assert_eq!(left(&all, false), (going, Outcome::Partial));
        let started = [("w-1", "created"), ("w-1", "started")];
        assert_eq!(left(&started, true), (vec![], Outcome::Done));
        assert_eq!(left(&started, false), (vec![], Outcome::Partial));
        assert_eq!(left(&started[..1], true), (vec![], Outcome::Partial));
        assert_eq!(left(&[("w-1", "failed")], true), (vec![], Outcome::Partial));
    }
}
