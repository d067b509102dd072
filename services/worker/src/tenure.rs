//! Until when this worker may take what it holds for its own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// A time without a break in which the coordinator cannot have given this worker's tasks to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Term(u64);

#[derive(Debug, Default)]
struct Inner {
    until: Option<Instant>,
    term: u64,
}

/// The heartbeat renews it; when it runs out, whatever is held may be somebody else's by now, and it is only known
/// again after Postgres was asked again. A start that was committed in one term is not run in another, whenever its
/// answer arrives.
#[derive(Debug, Default)]
pub(crate) struct Tenure {
    inner: Mutex<Inner>,
    renewed: Notify,
}

impl Tenure {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Extends it to `until`. If it had run out, a new term begins.
    pub(crate) fn renew(&self, until: Instant) {
        let mut inner = self.lock();
        if inner.until.is_none_or(|before| before <= Instant::now()) {
            inner.term += 1;
        }
        inner.until = Some(until);
        drop(inner);
        self.renewed.notify_waiters();
    }

    /// The term that runs, if one does.
    pub(crate) fn term(&self) -> Option<Term> {
        let inner = self.lock();
        (inner.until? > Instant::now()).then_some(Term(inner.term))
    }

    /// Waits for a term.
    pub(crate) async fn wait(&self) -> Term {
        loop {
            let mut renewed = std::pin::pin!(self.renewed.notified());
            renewed.as_mut().enable();
            if let Some(term) = self.term() {
                return term;
            }
            renewed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_term_lasts_as_long_as_it_is_renewed_in_time() {
        let tenure = Tenure::default();
        assert_eq!(tenure.term(), None);
        let later = Instant::now() + Duration::from_secs(1000);
        tenure.renew(later);
        let first = tenure.wait().await;
        tenure.renew(later);
        assert_eq!(tenure.term(), Some(first));
        // It runs out.
        tenure.renew(Instant::now());
        assert_eq!(tenure.term(), None);
        let (second, ()) = tokio::join!(tenure.wait(), async { tenure.renew(later) });
        assert_ne!(second, first);
        assert_eq!(tenure.term(), Some(second));
    }
}
