//! What must hold in every reachable state, and what must be reachable for that to say anything.

use stateright::Property;
use taskmaster_core::TaskStatus;
use taskmaster_core::protocol::Row;

use crate::Setup;
use crate::state::{Held, State, Task};

/// Whoever ends a run holds the row's lease.
pub const NO_STALE_FINISH: &str = "no task is finished by a stale lease";
/// No two processes run the command of one task at the same moment.
pub const ONE_HOLDER: &str = "at most one live holder";
/// When a command begins to run, Postgres has it as running there, under that claim.
pub const START_BEFORE_RUN: &str = "no run without a committed start";
/// No claim is run twice, nor after a later one.
pub const ONE_RUN_FOR_EACH_START: &str = "a committed start is run at most once";
/// For tasks that are submitted with `max_attempts` of 1.
pub const AT_MOST_ONCE: &str =
    "with one attempt a command starts at most once, until somebody retries it";
/// However often its message comes.
pub const ONE_TASK_FOR_EACH_SUBMISSION: &str = "a submission becomes one task";
/// From every state, with nothing going wrong any more, every task that was submitted reaches its end.
pub const EVERY_TASK_ENDS: &str = "every task ends once the faults stop";

pub(crate) fn all() -> Vec<Property<Setup>> {
    vec![
        Property::always(NO_STALE_FINISH, |_, s: &State| !s.seen.stale_finish),
        Property::always(ONE_HOLDER, |_, s: &State| {
            Task::all().all(|task| holders(s, task) <= 1)
        }),
        Property::always(START_BEFORE_RUN, |_, s: &State| !s.seen.unstarted_run),
        Property::always(ONE_RUN_FOR_EACH_START, |_, s: &State| !s.seen.begun_again),
        Property::always(AT_MOST_ONCE, |setup: &Setup, s: &State| {
            let once = |task: &Task| setup.max_attempts(*task) == 1;
            let mut tasks = setup.tasks().filter(once);
            tasks.all(|task| s.seen.runs[task.index()] <= 1)
        }),
        Property::always(ONE_TASK_FOR_EACH_SUBMISSION, |_, s: &State| {
            s.seen.stored.iter().all(|stored| *stored <= 1)
        }),
        Property::always(EVERY_TASK_ENDS, Setup::settles),
        Property::sometimes(
            "all complete at the first attempt",
            |setup: &Setup, s: &State| {
                setup.tasks().all(|task| {
                    s.row(task)
                        .is_some_and(|row| row.status == TaskStatus::Completed && row.lease == 1)
                })
            },
        ),
        Property::sometimes(
            "a run that was lost is followed by one that completes",
            |_, s: &State| {
                Task::all().any(|task| {
                    s.row(task)
                        .is_some_and(|row| completed_at(row, 2) && !was_retried(row))
                })
            },
        ),
        Property::sometimes(
            "a run that failed is retried by hand and completes",
            |_, s: &State| {
                Task::all().any(|task| {
                    s.row(task)
                        .is_some_and(|row| completed_at(row, 2) && was_retried(row))
                })
            },
        ),
        Property::sometimes(
            "a run that was handed back is followed by one that completes",
            |_, s: &State| {
                Task::all().any(|task| {
                    let began_twice = s.seen.runs[task.index()] == 2;
                    let completed = |status| status == TaskStatus::Completed;
                    let spent_one = s
                        .row(task)
                        .is_some_and(|row| completed(row.status) && row.attempt == 1);
                    began_twice && spent_one
                })
            },
        ),
        Property::sometimes("a run is cancelled", |_, s: &State| {
            Task::all().any(|task| {
                let began = s.seen.begun[task.index()] != 0;
                began
                    && s.row(task)
                        .is_some_and(|row| row.status == TaskStatus::Cancelled)
            })
        }),
    ]
}

fn completed_at(row: &Row, attempt: i32) -> bool {
    row.status == TaskStatus::Completed && row.attempt == attempt
}

/// Whether a retry by hand has allowed it an attempt.
fn was_retried(row: &Row) -> bool {
    row.max_attempts > row.submitted_max_attempts
}

/// How many processes run a task's command.
fn holders(s: &State, task: Task) -> usize {
    let mut holders = 0;
    for worker in &s.workers {
        let running = worker
            .held
            .iter()
            .filter(|(_, held)| *held == Held::Running);
        let claims = running.map(|(claim, _)| claim).chain(&worker.orphans);
        holders += claims.filter(|claim| claim.task == task).count();
    }
    holders
}
