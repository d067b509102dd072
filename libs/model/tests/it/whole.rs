//! The protocol as it is: no state that can be reached breaks a property.

use taskmaster_model::{Disturbance as D, Setup, TaskSetup, check};

/// Walks the space and returns its size.
fn holds(name: &str, setup: Setup, unreachable: &[&str]) -> usize {
    let checked = check(setup);
    #[expect(clippy::print_stdout, reason = "the size of the space is the result")]
    {
        println!("{name}: {checked}");
    }
    assert!(checked.violations.is_empty(), "{checked}");
    assert_eq!(checked.unreachable, unreachable);
    checked.states
}

const LOST: &str = "a run that was lost is followed by one that completes";
const HANDED_BACK: &str = "a run that was handed back is followed by one that completes";
const RETRIED: &str = "a run that failed is retried by hand and completes";
const CANCELLED: &str = "a run is cancelled";

#[test]
fn any_two_disturbances_of_a_task_with_one_attempt() {
    let mut setup = Setup::one_task(1, 2);
    setup.tasks[0] = Some(TaskSetup {
        max_attempts: 1,
        by_amqp: true,
        retried: false,
    });
    // With one attempt there is no second run: that is the point.
    let states = holds("one attempt, by AMQP, any two", setup, &[LOST, HANDED_BACK]);
    assert!(states > 1_000_000, "{states}");
}

#[test]
fn any_disturbance_of_a_task_that_is_tried_again() {
    holds("two attempts, any one", Setup::one_task(2, 1), &[RETRIED]);
}

/// What has to do with a start whose answer does not come is where three things together can do harm.
#[test]
fn three_disturbances_around_the_start() {
    let setup = Setup {
        only: &[D::Fence, D::LoseStart, D::DeliverTwice],
        ..Setup::one_task(2, 3)
    };
    let states = holds(
        "two attempts, three around the start",
        setup,
        &[RETRIED, HANDED_BACK, CANCELLED],
    );
    assert!(states > 1_000_000, "{states}");
}

/// Tasks meet at the worker's process: what happens to it happens to both.
#[test]
fn a_worker_that_is_lost_with_two_tasks() {
    let mut setup = Setup {
        only: &[D::Fence, D::Crash],
        ..Setup::one_task(1, 1)
    };
    setup.tasks[1] = Setup::one_task(2, 1).tasks[0];
    let states = holds(
        "two tasks, a worker lost",
        setup,
        &[RETRIED, HANDED_BACK, CANCELLED],
    );
    assert!(states > 1_000_000, "{states}");
}
