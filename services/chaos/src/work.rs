//! What is submitted: real commands of several kinds, each of which writes down what it does.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use taskmaster_core::MAX_PRIORITY;

use crate::system::LEDGER;

/// What a command does, and how its task has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ends at once.
    Quick,
    /// Takes a while.
    Slow,
    /// Fails, however often it is tried.
    Fails,
    /// Succeeds at the second start.
    FailsOnce,
    /// Prints much.
    Prints,
    /// Ignores SIGTERM and has to be ended by its time limit.
    Overruns,
    /// Is cancelled while it waits or runs.
    Cancelled,
    /// Leaves a process behind that nobody waits for.
    Leaves,
}

/// One submission.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) kind: Kind,
    pub(crate) max_attempts: i32,
    /// The task as it is submitted.
    pub(crate) body: Value,
}

/// Submissions from this number on end at once and go ahead of all others: by them it is seen whether the system works,
/// however much waits.
pub(crate) const PROBES: u64 = 1 << 40;

/// Submission number `number` of the run with this seed: always the same.
pub(crate) fn work(seed: u64, number: u64) -> Work {
    let mut random = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let kind = match random.random_range(0..100) {
        _ if number >= PROBES => Kind::Quick,
        0..64 => Kind::Quick,
        64..80 => Kind::Slow,
        80..84 => Kind::Fails,
        84..89 => Kind::FailsOnce,
        89..93 => Kind::Prints,
        93..94 => Kind::Overruns,
        94..97 => Kind::Cancelled,
        _ => Kind::Leaves,
    };
    let millis = random.random_range(100..1200);
    let does = match kind {
        Kind::Quick => "true".to_owned(),
        Kind::Slow => format!("sleep {}.{:03}", millis / 1000, millis % 1000),
        Kind::Fails => "test 1 = 2".to_owned(),
        Kind::FailsOnce => "test $TASKMASTER_ATTEMPT -ge 2".to_owned(),
        Kind::Prints => "head -c 200000 /dev/zero | tr '\\0' x".to_owned(),
        Kind::Overruns => "trap '' TERM; sleep 30".to_owned(),
        Kind::Cancelled => "sleep 30".to_owned(),
        Kind::Leaves => "setsid sleep 300 >/dev/null 2>&1 </dev/null &".to_owned(),
    };
    // A third promises to start at most once.
    let max_attempts = match kind {
        Kind::FailsOnce => 6,
        Kind::Overruns | Kind::Cancelled => 1,
        _ if number.is_multiple_of(3) => 1,
        _ => 6,
    };
    let line = "$TASKMASTER_TASK_ID $TASKMASTER_LEASE";
    let command = format!(
        "n={number}\necho S $n {line} $TASKMASTER_ATTEMPT $TASKMASTER_WORKER >> ${LEDGER}\n{does}\ncode=$?\necho E {line} >> ${LEDGER}\nexit $code"
    );
    let mut body = json!({"command": command, "max_attempts": max_attempts});
    if number >= PROBES {
        body["priority"] = MAX_PRIORITY.into();
    }
    if kind == Kind::Overruns {
        body["timeout_seconds"] = 1.into();
    }
    Work {
        kind,
        max_attempts,
        body,
    }
}

/// The number of the submission that a command belongs to.
pub(crate) fn number_of(command: &str) -> Option<u64> {
    let (first, _) = command.split_once('\n')?;
    first.strip_prefix("n=")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_work() {
        for number in 0..500 {
            let (one, other) = (work(7, number), work(7, number));
            assert_eq!((one.kind, &one.body), (other.kind, &other.body));
            let command = one.body["command"].as_str().unwrap();
            assert_eq!(number_of(command), Some(number));
        }
        assert!((0..50).any(|number| work(7, number).body != work(8, number).body));
    }
}
