//! The pauses between attempts to reach RabbitMQ again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{BrokerConfig, Error};

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// Pauses of 100 ms, doubling up to 2 s, each shortened by up to half at random so that a fleet does not
/// return in step. With the longest pause everything is back within 3 s of RabbitMQ's first answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let full = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Whether the last failure was the first in a row: the one that is worth a line in the log.
    pub(crate) fn failed_once(&self) -> bool {
        self.failures == 1
    }

    /// It worked: the next failure is the first again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Waits for the next pause. False when `shutdown` came first.
    pub(crate) async fn wait(&mut self, shutdown: &CancellationToken) -> bool {
        let pause = self.next_pause();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

/// What every reconnecting loop here does between two connections: say it once, wait, say when it is over.
pub(crate) struct Reconnect {
    purpose: &'static str,
    address: String,
    shutdown: CancellationToken,
    backoff: Backoff,
}

impl Reconnect {
    pub(crate) fn new(
        purpose: &'static str,
        config: &BrokerConfig,
        shutdown: &CancellationToken,
    ) -> Self {
        Self {
            purpose,
            address: config.redacted(),
            shutdown: shutdown.clone(),
            backoff: Backoff::default(),
        }
    }

    pub(crate) fn connected(&mut self) {
        if self.backoff.failures > 0 {
            info!(
                broker.address = self.address,
                "RabbitMQ is back: {}", self.purpose
            );
        } else {
            debug!(
                broker.address = self.address,
                "connected to RabbitMQ: {}", self.purpose
            );
        }
        self.backoff.reset();
    }

    /// Waits before the next attempt. False when it is time to stop instead.
    pub(crate) async fn pause(&mut self, error: &Error) -> bool {
        if self.shutdown.is_cancelled() {
            return false;
        }
        if self.backoff.failures == 0 {
            warn!(broker.address = self.address, %error, "no RabbitMQ for now: {}", self.purpose);
        } else {
            debug!(broker.address = self.address, %error, "still no RabbitMQ: {}", self.purpose);
        }
        self.backoff.wait(&self.shutdown).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_stay_within_two_seconds() {
        let mut backoff = Backoff::default();
        for failures in 0..100 {
            let full = Duration::from_millis(100 << failures.min(10)).min(LONGEST);
            let pause = backoff.next_pause();
            assert!(pause >= full / 2 && pause <= full, "{failures}: {pause:?}");
        }
        backoff.reset();
        assert!(backoff.next_pause() <= FIRST);
    }
}
