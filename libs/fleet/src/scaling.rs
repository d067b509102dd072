//! Who goes when the fleet gets smaller. Pure.

use std::cmp::Reverse;

/// The `n` workers that have least to do (`(name, load)`, load being tasks running and assigned); among equals the one with
/// the highest number goes first, so that the numbers in use stay low. All of them if there are fewer than `n`.
pub fn pick_to_drain(workers: &[(String, u32)], n: usize) -> Vec<String> {
    let mut order: Vec<&(String, u32)> = workers.iter().collect();
    order.sort_by_key(|(name, load)| (*load, Reverse((number(name), name))));
    order
        .into_iter()
        .take(n)
        .map(|(name, _)| name.clone())
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

    fn pick(workers: &[(&str, u32)], n: usize) -> Vec<String> {
        let workers: Vec<_> = workers
            .iter()
            .map(|(name, load)| ((*name).to_owned(), *load))
            .collect();
        pick_to_drain(&workers, n)
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
