//! What comes one by one is done together, without making wait who comes alone.

use std::time::Duration;

use tokio::time::Instant;

/// How many times as long as it took one rests.
const TIMES: u32 = 3;
/// So many at once cost little more than one, and so long one rests at most: while how soon is what counts.
const LIGHT: Load = Load {
    enough: 50,
    most: Duration::from_millis(10),
};
/// While how much is what counts: so many cost, each by itself, as little as they can.
const HEAVY: Load = Load {
    enough: 250,
    most: Duration::from_millis(30),
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Load {
    enough: usize,
    most: Duration,
}

/// Lets what is done in small pieces rest after each: a commit costs about the same for one as for fifty, so the more it
/// took, the longer the next one waits for company. After a quiet moment nothing waits.
///
/// When so many came in such a rest that it was cut short, the load is heavy until fewer come: then commits are larger
/// still, so that the processors have more time for what is committed.
#[derive(Debug)]
pub struct Pace {
    /// How many can come together at all.
    room: usize,
    load: Load,
    until: Option<Instant>,
}

impl Pace {
    /// For what comes in such a number at most: it never waits for more than half of that.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self {
            room,
            load: LIGHT,
            until: None,
        }
    }

    /// So many together are not made to wait for more.
    #[must_use]
    pub fn enough(&self) -> usize {
        self.load.enough.min(self.room / 2).max(1)
    }

    /// Notes that so many were done together, begun at that moment.
    pub fn done(&mut self, count: usize, began: Instant) {
        let heavy_from = if self.load == HEAVY {
            HEAVY.enough / 2
        } else {
            LIGHT.enough
        };
        let is_heavy = count >= heavy_from && self.room >= 2 * HEAVY.enough;
        self.load = if is_heavy { HEAVY } else { LIGHT };
        let now = Instant::now();
        let rest = ((now - began) * TIMES).min(self.load.most);
        self.until = (count < self.enough()).then_some(now + rest);
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

    const MUCH: usize = 500;

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
    async fn a_heavy_load_makes_longer_rests_until_it_is_over() {
        let mut pace = Pace::new(MUCH);
        assert_eq!(rest(&mut pace, 50, 2).await, 6);
        assert_eq!(rest(&mut pace, 125, 1000).await, 30);
        assert_eq!(rest(&mut pace, 250, 1000).await, 0);
        assert_eq!(pace.enough(), 250);
        // Still enough to go on at once, but not for longer rests.
        assert_eq!(rest(&mut pace, 124, 1000).await, 0);
        assert_eq!(pace.enough(), 50);
        assert_eq!(rest(&mut pace, 49, 1000).await, 10);
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
