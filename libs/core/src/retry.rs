//! When a failed attempt is tried again, and what its task becomes if not.

use std::time::Duration;

use crate::{Outcome, TaskStatus};

/// Exponential backoff with jitter: attempt `n` is followed by a pause of `base · 2^(n-1)`, at most `cap`,
/// of which up to half is taken away at random, so that tasks that failed together do not return together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The pause after the first attempt.
    pub base: Duration,
    /// The longest pause.
    pub cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(1),
            cap: Duration::from_secs(15 * 60),
        }
    }
}

impl RetryPolicy {
    /// The pause after attempt number `attempt` (from 1). `jitter` is a random number in `0.0..1.0`.
    #[must_use]
    pub fn delay(self, attempt: i32, jitter: f64) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1))
            .unwrap_or(0)
            .min(31);
        let full = self.base.saturating_mul(1 << doublings).min(self.cap);
        full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }
}

/// What becomes of a task after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It ends in this status.
    Final(TaskStatus),
    /// It is scheduled again after this pause.
    RetryAfter(Duration),
}

/// Maps how a run ended to what becomes of its task: the one place where that is decided.
#[must_use]
pub fn verdict(
    outcome: Outcome,
    attempt: i32,
    max_attempts: i32,
    policy: RetryPolicy,
    jitter: f64,
) -> Verdict {
    match outcome {
        Outcome::Completed => Verdict::Final(TaskStatus::Completed),
        Outcome::Cancelled => Verdict::Final(TaskStatus::Cancelled),
        Outcome::Failed | Outcome::TimedOut | Outcome::Lost if attempt < max_attempts => {
            Verdict::RetryAfter(policy.delay(attempt, jitter))
        }
        Outcome::Failed | Outcome::TimedOut | Outcome::Lost => Verdict::Final(TaskStatus::Failed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_delay_grows_and_stays_within_its_bounds(attempt in 1..1000i32, jitter in 0.0..1.0f64) {
            let policy = RetryPolicy::default();
            let delay = policy.delay(attempt, jitter);
            prop_assert!(delay >= policy.base / 2 && delay <= policy.cap);
            prop_assert!(policy.delay(attempt + 1, jitter) >= delay);
        }

        #[test]
        fn no_attempt_past_the_last(attempt in 1..50i32, max in 1..50i32) {
            for outcome in [Outcome::Failed, Outcome::TimedOut, Outcome::Lost] {
                let again = matches!(verdict(outcome, attempt, max, RetryPolicy::default(), 0.5), Verdict::RetryAfter(_));
                prop_assert_eq!(again, attempt < max);
            }
        }
    }

    #[test]
    fn success_and_cancel_are_never_retried() {
        let policy = RetryPolicy::default();
        assert_eq!(
            verdict(Outcome::Completed, 1, 9, policy, 0.0),
            Verdict::Final(TaskStatus::Completed)
        );
        assert_eq!(
            verdict(Outcome::Cancelled, 1, 9, policy, 0.0),
            Verdict::Final(TaskStatus::Cancelled)
        );
    }
}
