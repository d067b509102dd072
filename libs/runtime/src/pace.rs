//! What comes one by one is done together, without making wait who comes alone.

use std::time::Duration;

use tokio::time::Instant;

/// So many at once cost little more than one: nothing is gained by waiting for more.
pub const ENOUGH: usize = 50;
/// How many times as long as it took one rests.
const TIMES: u32 = 3;
/// But no longer than this.
const MOST: Duration = Duration::from_millis(10);

/// Lets what is done in small pieces rest after each: a commit costs about the same for one as for fifty, so the more it
/// took, the longer the next one waits for company. After a quiet moment nothing waits.
#[derive(Debug, Default)]
pub struct Pace {
    until: Option<Instant>,
}

impl Pace {
    /// Notes that so many were done together, begun at that moment.
    pub fn done(&mut self, count: usize, began: Instant) {
        let now = Instant::now();
        let rest = ((now - began) * TIMES).min(MOST);
        self.until = (count < ENOUGH).then_some(now + rest);
    }

    /// Waits until the rest is over, or until there is enough to do; returns what `enough` does.
    pub async fn rest<T>(&self, enough: impl Future<Output = T>) -> Option<T> {
        let until = self.until.filter(|until| *until > Instant::now())?;
        tokio::time::timeout_at(until, enough).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    /// How long one rests, in milliseconds, after so many that took so long.
    async fn rest(count: usize, took: u64, since: u64) -> u128 {
        let began = Instant::now();
        tokio::time::advance(Duration::from_millis(took)).await;
        let mut pace = Pace::default();
        pace.done(count, began);
        tokio::time::advance(Duration::from_millis(since)).await;
        let resting = Instant::now();
        assert_eq!(pace.rest(pending::<()>()).await, None);
        resting.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_followed_by_a_rest_that_grows_with_what_they_took() {
        assert_eq!(rest(1, 1, 0).await, 3);
        assert_eq!(rest(ENOUGH - 1, 2, 1).await, 5);
        assert_eq!(rest(1, 1000, 0).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_after_many_or_after_a_quiet_moment() {
        assert_eq!(rest(ENOUGH, 2, 0).await, 0);
        assert_eq!(rest(1, 1, 3).await, 0);
        assert_eq!(Pace::default().rest(pending::<()>()).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_ends_when_there_is_enough() {
        let mut pace = Pace::default();
        pace.done(1, Instant::now() - Duration::from_millis(2));
        assert_eq!(pace.rest(ready(7)).await, Some(7));
    }
}
