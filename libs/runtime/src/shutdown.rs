//! Stopping in two steps: take nothing new and let what runs finish; then stop what runs and hand it back.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The two steps of a stop.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Take nothing new; finish what runs.
    pub drain: CancellationToken,
    /// Stop at once. Implies `drain`.
    pub now: CancellationToken,
}

impl Shutdown {
    /// A stop that nobody has asked for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for both steps at once.
    pub fn stop_now(&self) {
        self.drain.cancel();
        self.now.cancel();
    }

    /// SIGTERM or SIGINT drains; a second one stops at once.
    ///
    /// # Errors
    /// When the process may not install signal handlers.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let mut term = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = shutdown.clone();
        tokio::spawn(async move {
            for (now, step) in [(false, &stop.drain), (true, &stop.now)] {
                tokio::select! {
                    _ = term.recv() => {}
                    _ = interrupt.recv() => {}
                }
                tracing::info!(now, "asked to stop");
                step.cancel();
            }
        });
        Ok(shutdown)
    }
}
