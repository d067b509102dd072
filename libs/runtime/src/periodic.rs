//! The loop of a periodic service: runs, sleeps until the next time or until it is woken, runs again.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::Backoff;

/// When a periodic service is to run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// At once: there was more than one pass could do.
    Now,
    /// After this pause, or when it is woken.
    After(Duration),
}

/// A service that does its work in passes.
pub trait Periodic: Send {
    /// What it is called in logs.
    const NAME: &'static str;

    /// One pass.
    ///
    /// # Errors
    /// Whatever stopped the pass; it will be tried again.
    fn run_once(&mut self) -> impl Future<Output = anyhow::Result<Next>> + Send;
}

/// Runs a service pass by pass until `shutdown`, waiting between two as it says, or until `wake` is notified.
/// An error is logged (the first in a row) and tried again with backoff: nothing periodic ends because Postgres
/// or RabbitMQ is away.
pub async fn run_periodically<S: Periodic>(
    mut service: S,
    wake: Arc<Notify>,
    shutdown: CancellationToken,
) {
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        let pass = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            pass = service.run_once() => pass,
        };
        match pass {
            Ok(next) => {
                if !backoff.is_fresh() {
                    tracing::info!(service = S::NAME, "works again");
                    backoff.reset();
                }
                if let Next::After(pause) = next {
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = wake.notified() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
            Err(error) => {
                if backoff.is_fresh() {
                    tracing::warn!(
                        service = S::NAME,
                        error = format!("{error:#}"),
                        "failed, will be tried again"
                    );
                }
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = backoff.wait() => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct FourPasses {
        passes: u32,
        shutdown: CancellationToken,
        seen: Arc<std::sync::atomic::AtomicU32>,
    }

    impl Periodic for FourPasses {
        const NAME: &'static str = "test";

        async fn run_once(&mut self) -> anyhow::Result<Next> {
            self.passes += 1;
            self.seen
                .store(self.passes, std::sync::atomic::Ordering::SeqCst);
            match self.passes {
                1 => anyhow::bail!("away"),
                2 => Ok(Next::Now),
                3 => Ok(Next::After(Duration::from_secs(3600))),
                _ => {
                    self.shutdown.cancel();
                    Ok(Next::After(Duration::MAX))
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn runs_again_after_an_error_at_once_and_when_woken() {
        let (wake, shutdown, seen) = (
            Arc::new(Notify::new()),
            CancellationToken::new(),
            Arc::default(),
        );
        let service = FourPasses {
            passes: 0,
            shutdown: shutdown.clone(),
            seen: Arc::clone(&seen),
        };
        wake.notify_one();
        run_periodically(service, wake, shutdown).await;
        assert_eq!(seen.load(std::sync::atomic::Ordering::SeqCst), 4);
    }
}
