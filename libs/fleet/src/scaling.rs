//! Who goes when the fleet gets smaller. Pure.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

/// What the workers themselves have said of what they do, by their names or hosts.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// The tasks that each runs and holds.
    pub loads: HashMap<String, u32>,
    /// Those that drain, whoever has told them to: perhaps a program that has ended since.
    pub draining: HashSet<String>,
}

/// A worker that may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// The tasks that it runs and holds.
    pub load: u32,
    /// Whether it runs as it should; not one that is being started again, or does not answer its check.
    pub is_well: bool,
}

/// The `n` workers that have least to do; among equals first those that are not well, then the one with the highest
/// number, so that the numbers in use stay low. All of them if there are fewer than `n`.
pub fn pick_to_drain(workers: &[Candidate], n: usize) -> Vec<String> {
    let mut order: Vec<&Candidate> = workers.iter().collect();
    order.sort_by_key(|worker| {
        let name = &worker.name;
        (worker.load, worker.is_well, Reverse((number(name), name)))
    });
    order
        .into_iter()
        .take(n)
        .map(|worker| worker.name.clone())
        .collect()
}

/// The number at the end of a name, so that `worker-10` comes after `worker-9`.
fn number(name: &str) -> Option<u64> {
    let digits = name.trim_end_matches(|character: char| character.is_ascii_digit());
    name[digits.len()..].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(name: &str, load: u32, is_well: bool) -> Candidate {
        Candidate {
            name: name.to_owned(),
            load,
            is_well,
        }
    }

    fn pick(workers: &[(&str, u32)], n: usize) -> Vec<String> {
        let workers: Vec<_> = workers
            .iter()
            .map(|(name, load)| candidate(name, *load, true))
            .collect();
        pick_to_drain(&workers, n)
    }

    #[test]
    fn those_that_are_not_well_first_among_equals() {
        let workers = [
            candidate("worker-1", 0, false),
            candidate("worker-2", 1, false),
            candidate("worker-3", 0, true),
        ];
        let order = ["worker-1", "worker-3", "worker-2"];
        assert_eq!(pick_to_drain(&workers, 3), order);
    }

    #[test]
    fn least_load_first() {
        let workers = [("worker-1", 0), ("worker-2", 3), ("worker-3", 1)];
        assert_eq!(pick(&workers, 2), ["worker-1", "worker-3"]);
        assert_eq!(pick(&workers, 0), [""; 0]);
        assert_eq!(pick(&workers, 9), ["worker-1", "worker-3", "worker-2"]);
    }

    #[test]
    fn highest_number_first_among_equals() {
        let workers = [("worker-9", 1), ("worker-10", 1), ("worker-2", 1)];
        assert_eq!(pick(&workers, 2), ["worker-10", "worker-9"]);
    }

    #[test]
    fn names_without_a_number_are_names_too() {
        let workers = [("ä", 1), ("b-2", 1), ("", 1)];
        assert_eq!(pick(&workers, 3), ["b-2", "ä", ""]);
    }
}
