//! Comparing what was submitted, what ran, and what is written down.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use taskmaster_core::TaskLease;
use taskmaster_store::witness::{End, Live, Superseded};
use uuid::Uuid;

use crate::ledger::Run;
use crate::load::Submitted;
use crate::work::{Kind, number_of, work};

/// What was written down, by whoever did it.
pub(crate) struct Evidence<'a> {
    pub(crate) seed: u64,
    pub(crate) submitted: &'a BTreeMap<u64, Submitted>,
    pub(crate) runs: &'a [Run],
    pub(crate) run_ends: &'a HashMap<TaskLease, u32>,
    pub(crate) ends: &'a [End],
    pub(crate) live: &'a [Live],
    pub(crate) superseded: &'a [Superseded],
}

/// How it comes out. What must be zero is in `violations` as well, each with an example.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// Submissions that were accepted.
    pub accepted: usize,
    /// Tasks that ended as completed.
    pub completed: usize,
    /// Tasks that ended as failed: their command does, or ran out of attempts.
    pub failed: usize,
    /// Tasks that ended as cancelled.
    pub cancelled: usize,
    /// Commands that were started.
    pub runs: usize,
    /// Runs of which another attempt had to be made because their worker was lost.
    pub superseded: usize,
    /// Accepted submissions without a recorded end.
    pub lost: usize,
    /// Submissions that became more than one task.
    pub doubled_tasks: usize,
    /// Tasks with more than one recorded end.
    pub doubled_ends: usize,
    /// Claims under which a command was started more than once.
    pub doubled_runs: usize,
    /// Runs whose start is nowhere recorded.
    pub runs_without_start: usize,
    /// Tasks of at most one attempt that were started more than once.
    pub started_again: usize,
    /// Tasks that are recorded as completed although their command did not come to its end under that claim.
    pub false_ends: usize,
    /// Tasks whose recorded end is not one that their command can have.
    pub wrong_ends: usize,
    /// What must not be, with examples.
    pub violations: Vec<String>,
}

impl Outcome {
    /// Counts what must not be, and keeps the first few of it.
    fn forbid(&mut self, what: &str, found: &[String]) -> usize {
        if !found.is_empty() {
            let examples: Vec<&str> = found.iter().take(3).map(String::as_str).collect();
            self.violations
                .push(format!("{} {what}: {}", found.len(), examples.join("; ")));
        }
        found.len()
    }
}

/// Compares.
pub(crate) fn verify(evidence: &Evidence<'_>) -> Outcome {
    let with_status = |status| {
        let ended = evidence.ends.iter();
        ended.filter(|end| end.status == status).count()
    };
    let accepted = |submitted: &&Submitted| submitted.accepted;
    let mut outcome = Outcome {
        accepted: evidence.submitted.values().filter(accepted).count(),
        completed: with_status("completed"),
        failed: with_status("failed"),
        cancelled: with_status("cancelled"),
        runs: evidence.runs.len(),
        superseded: evidence.superseded.len(),
        ..Outcome::default()
    };
    submissions(evidence, &mut outcome);
    runs(evidence, &mut outcome);
    ends(evidence, &mut outcome);
    outcome
}

/// Each submission is one task, and each task has one end.
fn submissions(evidence: &Evidence<'_>, outcome: &mut Outcome) {
    let mut tasks: HashMap<u64, HashSet<Uuid>> = HashMap::new();
    for end in evidence.ends {
        if let Some(number) = number_of(&end.command) {
            tasks.entry(number).or_default().insert(end.id);
        }
    }
    let mut lost = Vec::new();
    for (number, submitted) in evidence.submitted {
        let known = tasks.get(number);
        let ended = match submitted.id {
            Some(id) => known.is_some_and(|known| known.contains(&id)),
            None => known.is_some(),
        };
        if submitted.accepted && !ended {
            let still = evidence
                .live
                .iter()
                .find(|live| number_of(&live.command) == Some(*number));
            let still = still.map_or("nowhere", |live| &live.status);
            lost.push(format!("submission {number} ({:?}): {still}", submitted.id));
        }
    }
    outcome.lost = outcome.forbid("accepted submissions have no end", &lost);

    let doubled: Vec<String> = tasks
        .iter()
        .filter(|(_, ids)| ids.len() > 1)
        .map(|(number, ids)| format!("submission {number}: {ids:?}"))
        .collect();
    outcome.doubled_tasks = outcome.forbid("submissions became several tasks", &doubled);

    let mut ends: HashMap<Uuid, u32> = HashMap::new();
    for id in evidence.ends.iter().map(|end| end.id) {
        *ends.entry(id).or_default() += 1;
    }
    for live in evidence.live {
        // One that has ended and still waits is as bad.
        if let Some(count) = ends.get_mut(&live.id) {
            *count += 1;
        }
    }
    let doubled: Vec<String> = ends
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(id, count)| format!("task {id}: {count}"))
        .collect();
    outcome.doubled_ends = outcome.forbid("tasks have several ends", &doubled);
}

/// Each run has a committed start of its own.
fn runs(evidence: &Evidence<'_>, outcome: &mut Outcome) {
    let mut starts: HashMap<TaskLease, i32> = HashMap::new();
    for end in evidence.ends.iter().filter(|end| end.started_at.is_some()) {
        let task = TaskLease {
            id: end.id,
            lease: end.lease,
        };
        starts.insert(task, end.attempt);
    }
    for superseded in evidence.superseded {
        starts.insert(superseded.task, superseded.attempt);
    }
    let mut of_claim: HashMap<TaskLease, u32> = HashMap::new();
    let mut of_task: HashMap<Uuid, (u64, u32)> = HashMap::new();
    let mut without = Vec::new();
    for run in evidence.runs {
        *of_claim.entry(run.task).or_default() += 1;
        of_task.entry(run.task.id).or_insert((run.number, 0)).1 += 1;
        if starts.get(&run.task) != Some(&run.attempt) {
            without.push(format!("{run:?}"));
        }
    }
    outcome.runs_without_start = outcome.forbid("runs have no committed start", &without);
    let doubled: Vec<String> = of_claim
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(task, count)| format!("{task:?}: {count}"))
        .collect();
    outcome.doubled_runs = outcome.forbid("claims were run more than once", &doubled);
    let again: Vec<String> = of_task
        .iter()
        .filter(|(_, (number, count))| *count > 1 && work(evidence.seed, *number).max_attempts == 1)
        .map(|(id, (_, count))| format!("task {id}: {count}"))
        .collect();
    outcome.started_again = outcome.forbid("tasks of one attempt were started again", &again);
}

/// What is recorded is what happened.
fn ends(evidence: &Evidence<'_>, outcome: &mut Outcome) {
    let mut untrue = Vec::new();
    let mut wrong = Vec::new();
    for end in evidence.ends {
        let Some(number) = number_of(&end.command) else {
            continue;
        };
        let task = TaskLease {
            id: end.id,
            lease: end.lease,
        };
        if end.status == "completed" && evidence.run_ends.get(&task) != Some(&1) {
            untrue.push(format!("task {} under lease {}", end.id, end.lease));
        }
        let work = work(evidence.seed, number);
        let can_be_lost = end.outcome == "lost" && end.attempt == end.max_attempts;
        let as_expected = match work.kind {
            Kind::Quick | Kind::Slow | Kind::Prints | Kind::Leaves | Kind::FailsOnce => {
                end.status == "completed"
            }
            Kind::Fails => end.outcome == "failed" && end.attempt == end.max_attempts,
            Kind::Overruns => end.outcome == "timed_out",
            Kind::Cancelled => end.status == "cancelled",
        };
        if !as_expected && !can_be_lost {
            wrong.push(format!(
                "submission {number} ({:?}, at most {}): {} at attempt {}",
                work.kind, work.max_attempts, end.outcome, end.attempt
            ));
        }
    }
    outcome.false_ends = outcome.forbid(
        "tasks are called completed and did not run to their end",
        &untrue,
    );
    outcome.wrong_ends = outcome.forbid("tasks ended in a way that they cannot", &wrong);
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use chrono::DateTime;

    use super::*;

    const SEED: u64 = 1;

    fn number(wanted: impl Fn(&crate::work::Work) -> bool) -> u64 {
        (0..).find(|number| wanted(&work(SEED, *number))).unwrap()
    }

    struct Case {
        submitted: BTreeMap<u64, Submitted>,
        runs: Vec<Run>,
        run_ends: HashMap<TaskLease, u32>,
        ends: Vec<End>,
        superseded: Vec<Superseded>,
    }

    impl Case {
        /// One task of at most one attempt that was accepted, ran and completed.
        fn good() -> Self {
            let number = number(|work| work.kind == Kind::Quick && work.max_attempts == 1);
            let task = TaskLease {
                id: Uuid::now_v7(),
                lease: 1,
            };
            Self {
                submitted: BTreeMap::from([(
                    number,
                    Submitted {
                        at: Instant::now(),
                        id: Some(task.id),
                        accepted: true,
                    },
                )]),
                runs: vec![Run {
                    number,
                    task,
                    attempt: 1,
                    worker: "w".to_owned(),
                    seen: Instant::now(),
                }],
                run_ends: HashMap::from([(task, 1)]),
                ends: vec![End {
                    id: task.id,
                    command: work(SEED, number).body["command"]
                        .as_str()
                        .unwrap()
                        .to_owned(),
                    status: "completed".to_owned(),
                    outcome: "completed".to_owned(),
                    lease: 1,
                    attempt: 1,
                    max_attempts: 1,
                    started_at: Some(DateTime::UNIX_EPOCH),
                }],
                superseded: Vec::new(),
            }
        }

        fn outcome(&self) -> Outcome {
            verify(&Evidence {
                seed: SEED,
                submitted: &self.submitted,
                runs: &self.runs,
                run_ends: &self.run_ends,
                ends: &self.ends,
                live: &[],
                superseded: &self.superseded,
            })
        }
    }

    #[test]
    fn a_good_run_has_no_violation() {
        let outcome = Case::good().outcome();
        assert_eq!(outcome.violations, Vec::<String>::new());
        assert_eq!(
            (outcome.accepted, outcome.completed, outcome.runs),
            (1, 1, 1)
        );
    }

    #[test]
    fn each_violation_is_seen() {
        let mut case = Case::good();
        case.ends.clear();
        case.runs.clear();
        assert_eq!(case.outcome().lost, 1);

        let mut case = Case::good();
        case.ends.push(case.ends[0].clone());
        assert_eq!(case.outcome().doubled_ends, 1);

        let mut case = Case::good();
        case.ends.push(End {
            id: Uuid::now_v7(),
            ..case.ends[0].clone()
        });
        assert_eq!(case.outcome().doubled_tasks, 1);

        let mut case = Case::good();
        case.runs.push(case.runs[0].clone());
        let outcome = case.outcome();
        assert_eq!((outcome.doubled_runs, outcome.started_again), (1, 1));

        let mut case = Case::good();
        case.runs[0].task.lease = 2;
        assert_eq!(case.outcome().runs_without_start, 1);

        let mut case = Case::good();
        case.run_ends.clear();
        assert_eq!(case.outcome().false_ends, 1);

        let mut case = Case::good();
        case.ends[0].status = "cancelled".to_owned();
        case.ends[0].outcome = "cancelled".to_owned();
        assert_eq!(case.outcome().wrong_ends, 1);
    }
}
