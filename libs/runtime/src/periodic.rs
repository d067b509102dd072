//! The loop of a periodic service: runs, sleeps until the next time or until it is woken, runs again.

use std::future::Future;
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

/// Runs `run_once` again and again until `shutdown`, waiting between two runs as it says, or until `wake` is notified.
/// An error is logged (once for each row of them) and tried again with backoff: nothing periodic ends because Postgres
/// or RabbitMQ is away.
pub async fn periodic<F, Fut>(
    name: &'static str,
    wake: &Notify,
    shutdown: CancellationToken,
    mut run_once: F,
) where
    F: FnMut() -> Fut,
    Fut: Future<Output = anyhow::Result<Next>>,
{
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        match run_once().await {
            Ok(next) => {
                if !backoff.is_fresh() {
                    tracing::info!(service = name, "works again");
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
                        service = name,
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn runs_when_woken_when_due_and_after_errors() {
        let wake = Arc::new(Notify::new());
        let shutdown = CancellationToken::new();
        let runs = Arc::new(AtomicU32::new(0));
        let task = {
            let (wake, shutdown, runs) = (wake.clone(), shutdown.clone(), runs.clone());
            tokio::spawn(async move {
                periodic("test", &wake, shutdown.clone(), || {
                    let run = runs.fetch_add(1, Ordering::SeqCst);
                    let shutdown = shutdown.clone();
                    async move {
                        match run {
                            0 => anyhow::bail!("away"),
                            1 => Ok(Next::Now),
                            2 => Ok(Next::After(Duration::from_secs(3600))),
                            _ => {
                                shutdown.cancel();
                                Ok(Next::After(Duration::MAX))
                            }
                        }
                    }
                })
                .await;
            })
        };
        wake.notify_one();
        task.await.unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 4);
    }
}
