//! What comes one by one is done together, without making wait who comes alone.

use std::time::Duration;

use tokio::time::Instant;

/// How many times as long as it took one rests.
const TIMES: u32 = 3;
/// So many at once cost little more than one, and so long one rests at most: while how soon is what counts.
const FEW: usize = 50;
const SHORT: Duration = Duration::from_millis(10);
/// So many a second, over the last moments, are a load under which how much is what counts.
const HEAVY: f64 = 4_000.0;
/// How long those moments are.
const MOMENTS: Duration = Duration::from_millis(100);
/// Then so many cost, each by itself, as little as they can, and one rests at most for as long as it takes twice the rate
/// from which the load is heavy to bring them.
const MANY: usize = 500;
const LONG: Duration = Duration::from_millis(60);
/// Under what can hold fewer, there is no such load.
const ROOMY: usize = 500;

/// Lets what is done in small pieces rest after each: a commit costs about the same for one as for fifty, so the more it
/// took, the longer the next one waits for company. After a quiet moment nothing waits.
///
/// Under a heavy load the rests are longer and the commits larger still, so that the processors have more time for
/// what is committed.
#[derive(Debug)]
pub struct Pace {
    /// How many can come together at all.
    room: usize,
    /// How many came in a second, of late.
    rate: f64,
    last: Option<Instant>,
    until: Option<Instant>,
}

impl Pace {
    /// For what comes in such a number at most: it never waits for more than half of that.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self {
            room,
            rate: 0.0,
            last: None,
            until: None,
        }
    }

    /// So many together are not made to wait for more.
    #[must_use]
    pub fn enough(&self) -> usize {
        let enough = if self.is_heavy() { MANY } else { FEW };
        enough.min(self.room / 2).max(1)
    }

    /// Notes that so many were done together, begun at that moment.
    pub fn done(&mut self, count: usize, began: Instant) {
        let now = Instant::now();
        if let Some(last) = self.last.replace(now) {
            let over = (now - last).as_secs_f64().max(1e-6);
            let faded = (-over / MOMENTS.as_secs_f64()).exp();
            self.rate = self.rate * faded + count as f64 / over * (1.0 - faded);
        }
        let most = if self.is_heavy() {
            LONG.mul_f64(self.enough() as f64 / MANY as f64)
        } else {
            SHORT
        };
        let rest = ((now - began) * TIMES).min(most);
        self.until = (count < self.enough()).then_some(now + rest);
    }

    /// Waits until the rest is over, or until there is enough to do; returns what `enough` does.
    pub async fn rest<T>(&self, enough: impl Future<Output = T>) -> Option<T> {
        let until = self.until.filter(|until| *until > Instant::now())?;
        tokio::time::timeout_at(until, enough).await.ok()
    }

    fn is_heavy(&self) -> bool {
        self.room >= ROOMY && self.rate >= HEAVY
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const MUCH: usize = 1000;

    /// How long it rests now, in milliseconds.
    async fn resting(pace: &Pace) -> u128 {
        let resting = Instant::now();
        assert_eq!(pace.rest(pending::<()>()).await, None);
        resting.elapsed().as_millis()
    }

    /// The same after so many that took so long.
    async fn rest(pace: &mut Pace, count: usize, took: u64) -> u128 {
        let began = Instant::now();
        tokio::time::advance(Duration::from_millis(took)).await;
        pace.done(count, began);
        resting(pace).await
    }

    /// So many come in a second.
    async fn come(pace: &mut Pace, count: usize) {
        for _ in 0..50 {
            tokio::time::advance(Duration::from_millis(20)).await;
            pace.done(count / 50, Instant::now());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_followed_by_a_rest_that_grows_with_what_they_took() {
        let mut pace = Pace::new(MUCH);
        assert_eq!(rest(&mut pace, 1, 1).await, 3);
        assert_eq!(rest(&mut pace, 49, 2).await, 6);
        assert_eq!(rest(&mut pace, 1, 1000).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_at_first_or_after_a_quiet_moment() {
        let mut pace = Pace::new(MUCH);
        assert_eq!(resting(&pace).await, 0);
        pace.done(1, Instant::now() - Duration::from_millis(1));
        tokio::time::advance(Duration::from_millis(3)).await;
        assert_eq!(resting(&pace).await, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_heavy_load_makes_larger_commits_until_it_is_over() {
        for (room, enough, longest) in [(MUCH, 500, 60), (500, 250, 30)] {
            let mut pace = Pace::new(room);
            come(&mut pace, 3_000).await;
            assert_eq!(pace.enough(), 50);
            come(&mut pace, 5_000).await;
            assert_eq!(pace.enough(), enough);
            assert_eq!(rest(&mut pace, enough - 1, 50).await, longest);
            assert_eq!(rest(&mut pace, enough, 50).await, 0);
            assert_eq!(rest(&mut pace, 1, 200).await, 10, "after a pause");
            assert_eq!(pace.enough(), 50);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_large_commit_is_no_heavy_load() {
        let mut pace = Pace::new(MUCH);
        come(&mut pace, 50).await;
        rest(&mut pace, 300, 20).await;
        assert_eq!(pace.enough(), 50);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_little_room_waits_for_half_of_it_at_most() {
        let mut pace = Pace::new(64);
        assert_eq!(rest(&mut pace, 31, 1000).await, 10);
        assert_eq!(rest(&mut pace, 32, 1000).await, 0);
        assert_eq!(rest(&mut pace, 64, 1000).await, 0);
        assert_eq!(Pace::new(1).enough(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rest_ends_when_there_is_enough() {
        let mut pace = Pace::new(MUCH);
        pace.done(1, Instant::now() - Duration::from_millis(2));
        assert_eq!(pace.rest(ready(7)).await, Some(7));
    }
}
