//! How long to wait before trying again what another process has to be there for.

use std::time::Duration;

/// Doubling pauses with jitter, from 50 ms to a cap of 1 s: short enough that everything is back within moments of
/// Postgres or RabbitMQ answering again, long enough to cost neither of them anything.
#[derive(Debug, Clone)]
pub struct Backoff {
    next: Duration,
}

const FIRST: Duration = Duration::from_millis(50);
const CAP: Duration = Duration::from_secs(1);

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// Waits, a little longer each time.
    pub async fn wait(&mut self) {
        let pause = self.next.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        self.next = (self.next * 2).min(CAP);
        tokio::time::sleep(pause).await;
    }

    /// Whether this is the first failure in a row: the one that is worth a line in the log.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.next == FIRST
    }

    /// Begins again from the shortest pause, after a success.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }
}
