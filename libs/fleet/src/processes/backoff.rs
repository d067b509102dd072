//! How long to wait before a worker that ended unexpectedly is started again. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);
/// A worker that ran this long was well: its next end is a first one again.
const WELL: Duration = Duration::from_secs(30);

/// Doubles with each short life.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// Nothing has happened yet.
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The wait after a life of this length.
    pub(crate) fn after(&mut self, life: Duration) -> Duration {
        if life >= WELL {
            self.next = FIRST;
        }
        let wait = self.next;
        self.next = (wait * 2).min(LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_limit_and_starts_over_after_a_long_life() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..9)
            .map(|_| backoff.after(Duration::ZERO).as_millis())
            .collect();
        assert_eq!(
            waits,
            [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]
        );
        assert_eq!(backoff.after(WELL), FIRST);
        assert_eq!(backoff.after(Duration::ZERO), FIRST * 2);
    }
}
