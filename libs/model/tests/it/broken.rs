//! With a rule switched off the checker finds what the rule is there for.

use taskmaster_model::properties as p;
use taskmaster_model::{Broken, Disturbance as D, Setup, TaskSetup, find_violation};

/// A task by AMQP.
fn submission(disturbances: u8) -> Setup {
    let mut setup = Setup::one_task(1, disturbances);
    setup.tasks[0] = Some(TaskSetup {
        max_attempts: 1,
        by_amqp: true,
        retried: false,
    });
    setup
}

/// Looks for a violation of `property`, and prints how to get there.
fn is_caught(rule: Broken, setup: Setup, property: &'static str) {
    let broken = Some(rule);
    let checked = find_violation(Setup { broken, ..setup }, property);
    #[expect(clippy::print_stdout, reason = "the counterexample is the result")]
    {
        println!("{rule:?}: {checked}");
    }
    assert!(checked.violations.contains_key(property), "not noticed");
    // It is the rule that matters: with it, the same space has no such state.
    let whole = find_violation(
        Setup {
            broken: None,
            ..setup
        },
        property,
    );
    assert!(whole.violations.is_empty(), "{whole}");
}

#[test]
fn an_end_without_its_lease() {
    let setup = Setup {
        only: &[D::LoseReport, D::Fail],
        ..Setup::one_task(2, 2)
    };
    is_caught(Broken::FinishIgnoresLease, setup, p::NO_STALE_FINISH);
}

#[test]
fn a_start_without_its_lease() {
    let setup = Setup::one_task(2, 1);
    is_caught(Broken::StartIgnoresLease, setup, p::START_BEFORE_RUN);
}

#[test]
fn a_run_before_its_start() {
    let setup = Setup::one_task(1, 0);
    is_caught(Broken::RunsBeforeStart, setup, p::START_BEFORE_RUN);
}

#[test]
fn an_acknowledgement_before_the_commit() {
    is_caught(Broken::AcksBeforeCommit, submission(1), p::EVERY_TASK_ENDS);
}

#[test]
fn a_submission_without_a_key() {
    let property = p::ONE_TASK_FOR_EACH_SUBMISSION;
    is_caught(Broken::NoIdempotencyKey, submission(1), property);
}

#[test]
fn a_worker_without_a_fence() {
    is_caught(Broken::NoFence, Setup::one_task(2, 1), p::ONE_HOLDER);
}

#[test]
fn a_start_whose_answer_comes_after_the_fence() {
    let setup = Setup::one_task(2, 1);
    is_caught(Broken::StartsSurviveFence, setup, p::ONE_HOLDER);
}

#[test]
fn a_start_that_is_looked_up_after_the_fence() {
    let setup = Setup::one_task(2, 1);
    is_caught(Broken::LooksUpAfterFence, setup, p::ONE_HOLDER);
}

#[test]
fn a_start_behind_the_fence() {
    let setup = Setup::one_task(2, 1);
    is_caught(Broken::StartsWhileFenced, setup, p::ONE_HOLDER);
}

#[test]
fn a_claim_taken_on_after_it_was_given_up() {
    let setup = Setup {
        only: &[D::Fence, D::LoseStart, D::DeliverTwice],
        ..Setup::one_task(1, 3)
    };
    is_caught(Broken::TakesOnAgain, setup, p::ONE_RUN_FOR_EACH_START);
}

#[test]
fn a_heartbeat_that_reconciles_nothing() {
    let setup = Setup::one_task(1, 1);
    is_caught(Broken::NoReconciliation, setup, p::EVERY_TASK_ENDS);
}

#[test]
fn a_rescue_that_spends_no_attempt() {
    let setup = Setup::one_task(1, 1);
    is_caught(Broken::RescueSpendsNothing, setup, p::AT_MOST_ONCE);
}

#[test]
fn one_attempt_that_is_handed_back() {
    let setup = Setup::one_task(1, 1);
    is_caught(Broken::HandsBackOneAttempt, setup, p::AT_MOST_ONCE);
}

#[test]
fn one_attempt_that_is_handed_back_after_a_retry_by_hand() {
    let mut setup = Setup::one_task(1, 1);
    setup.tasks[0] = setup.tasks[0].map(|task| TaskSetup {
        retried: true,
        ..task
    });
    is_caught(Broken::HandsBackRetried, setup, p::AT_MOST_ONCE);
}

#[test]
fn two_processes_of_one_name() {
    let setup = Setup::one_task(2, 0);
    is_caught(Broken::TwoProcessesOfOneName, setup, p::ONE_HOLDER);
}
