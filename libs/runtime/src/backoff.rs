//! How long to wait before trying again what another process has to be there for.

use std::time::Duration;

/// Pauses of 50 ms, doubling up to 1 s, each shortened by up to half at random so that a fleet does not return in step:
/// short enough that everything is back within moments of Postgres or RabbitMQ answering again, long enough to cost
/// neither of them anything.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    failures: u32,
}

const FIRST: Duration = Duration::from_millis(50);
const CAP: Duration = Duration::from_secs(1);

impl Backoff {
    /// The pause after one more failure.
    pub fn next_pause(&mut self) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(16)).min(CAP);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(1.0 - rand::random::<f64>() / 2.0)
    }

    /// Waits, a little longer each time.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_pause()).await;
    }

    /// How many failures there were in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether there was no failure yet: the first one is worth a line in the log.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.failures == 0
    }

    /// Begins again from the shortest pause, after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_within_a_second() {
        let mut backoff = Backoff::default();
        for failures in 0..100 {
            assert_eq!(backoff.is_fresh(), failures == 0);
            let full = Duration::from_millis(50 << failures.min(10)).min(CAP);
            let pause = backoff.next_pause();
            assert!(pause >= full / 2 && pause <= full, "{failures}: {pause:?}");
        }
        backoff.reset();
        assert!(backoff.next_pause() <= FIRST);
    }
}
