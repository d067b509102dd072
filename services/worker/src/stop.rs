//! Telling a run to stop before its end, and to hurry when it must not be here any more.

use tokio::sync::watch;

/// Why a run is stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// Someone asked for it.
    Cancelled,
    /// The worker stops and hands it back.
    HandBack,
    /// The task was given to someone else, or must be assumed to be: end it at once, and report nothing.
    LeaseLost,
}

/// The side that tells.
#[derive(Debug)]
pub(crate) struct StopSender(watch::Sender<Option<StopReason>>);

/// The run's side.
#[derive(Debug)]
pub(crate) struct Stop(watch::Receiver<Option<StopReason>>);

/// Both sides.
pub(crate) fn stop() -> (StopSender, Stop) {
    let (sender, receiver) = watch::channel(None);
    (StopSender(sender), Stop(receiver))
}

impl StopSender {
    /// Tells the run to stop. A run that is being stopped already can still be told that its lease is lost, and
    /// nothing else. Returns whether this was news.
    pub(crate) fn tell(&self, reason: StopReason) -> bool {
        self.0.send_if_modified(|told| {
            let news = match told {
                None => true,
                Some(before) => reason == StopReason::LeaseLost && *before != StopReason::LeaseLost,
            };
            if news {
                *told = Some(reason);
            }
            news
        })
    }
}

impl Stop {
    /// Waits until the run is told to stop.
    pub(crate) async fn told(&mut self) -> StopReason {
        let told = self
            .0
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|told| *told);
        match told {
            Some(reason) => reason,
            // Nobody is left to tell it.
            None => std::future::pending().await,
        }
    }

    /// Waits until the lease is lost.
    pub(crate) async fn lease_lost(&mut self) {
        let lost = |told: &Option<StopReason>| *told == Some(StopReason::LeaseLost);
        let told = self.0.wait_for(lost).await.is_ok();
        if !told {
            std::future::pending::<()>().await;
        }
    }

    /// Whether the lease is lost.
    pub(crate) fn is_lease_lost(&self) -> bool {
        *self.0.borrow() == Some(StopReason::LeaseLost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stop_is_told_once_and_can_only_become_more_urgent() {
        let (sender, mut run) = stop();
        assert!(sender.tell(StopReason::Cancelled));
        assert!(!sender.tell(StopReason::HandBack));
        assert_eq!(run.told().await, StopReason::Cancelled);
        assert!(!run.is_lease_lost());
        assert!(sender.tell(StopReason::LeaseLost));
        assert!(!sender.tell(StopReason::LeaseLost) && !sender.tell(StopReason::Cancelled));
        run.lease_lost().await;
        assert_eq!(run.told().await, StopReason::LeaseLost);
    }
}
