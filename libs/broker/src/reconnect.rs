//! What happens between two connections to RabbitMQ.

use taskmaster_runtime::Backoff;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::{BrokerConfig, Error};

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
        if !self.backoff.is_fresh() {
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

    /// Whether it has not failed since it last worked.
    pub(crate) fn is_first_failure(&self) -> bool {
        self.backoff.is_fresh()
    }

    /// Waits before the next attempt. False when it is time to stop instead.
    pub(crate) async fn pause(&mut self, error: &Error) -> bool {
        if self.shutdown.is_cancelled() {
            return false;
        }
        if self.backoff.is_fresh() {
            warn!(broker.address = self.address, %error, "no RabbitMQ for now: {}", self.purpose);
        } else {
            debug!(broker.address = self.address, %error, "still no RabbitMQ: {}", self.purpose);
        }
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => false,
            () = self.backoff.wait() => true,
        }
    }
}
