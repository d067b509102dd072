//! How much room each worker has: counted in Postgres every so often, and reckoned from what is given and what ends in between.
//!
//! To count reads everything that is held, and to claim from the oldest task on walks all that was claimed since the oldest
//! snapshot that anybody holds open. Neither may take more than a small part of the time, however large it grows.

use std::collections::HashMap;
use std::time::Duration;

use taskmaster_core::Room;
use taskmaster_store::claim::Claimed;
use taskmaster_store::workers::Available;
use tokio::time::Instant;

/// For how many times as long as counting took, nothing is counted again.
const REST: u32 = 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Supply {
    workers: HashMap<i32, Holding>,
    /// When it may be counted again; nothing: now.
    again: Option<Instant>,
}

/// What a worker held when it was counted, with what it was given since.
#[derive(Debug, Clone, Copy)]
struct Holding {
    held: i64,
    /// What it had ended by then.
    ended: i64,
    slots: i64,
    window: i64,
}

impl Holding {
    /// Whether it has enough to do beyond what it runs, so that what it is given now would only wait there.
    fn is_stocked(&self) -> bool {
        let ahead = self.window - self.slots;
        ahead > 0 && self.held - self.slots >= (ahead + 1) / 2
    }
}

impl Supply {
    /// Whether it is time to count.
    pub(crate) fn is_due(&self) -> bool {
        self.due_in() == Duration::ZERO
    }

    /// How long until it is.
    pub(crate) fn due_in(&self) -> Duration {
        self.again.map_or(Duration::ZERO, |again| {
            again.saturating_duration_since(Instant::now())
        })
    }

    /// Notes that counting, and claiming from the oldest task on, took this long.
    pub(crate) fn counted(&mut self, took: Duration) {
        self.again = Some(Instant::now() + took * REST);
    }

    /// Counts at the next opportunity: something has not gone as it was meant to.
    pub(crate) fn forget(&mut self) {
        self.again = None;
    }

    /// The room of each. A worker that came since the last count has none until the next, which is then soon.
    pub(crate) fn rooms(&mut self, available: &[Available]) -> Vec<Room> {
        if available.iter().any(|worker| worker.held.is_some()) {
            self.workers.clear();
        }
        let mut rooms = Vec::with_capacity(available.len());
        for worker in available {
            let before = self.workers.get(&worker.id);
            let held = match (worker.held, before) {
                (Some(counted), _) => counted.into(),
                // What is handed back or tried again later is not among the ended: until the next count, it is taken for held.
                (None, Some(before)) => before.held - (worker.ended - before.ended),
                (None, None) => {
                    self.forget();
                    continue;
                }
            };
            let window = worker.claim_window.into();
            let holding = Holding {
                held,
                ended: worker.ended,
                slots: worker.slots.into(),
                window,
            };
            self.workers.insert(worker.id, holding);
            let free = window - held.max(0);
            rooms.push(Room {
                worker_id: worker.id,
                free: u32::try_from(free).unwrap_or(0),
            });
        }
        rooms
    }

    /// Whether all of them have enough to do for a moment.
    pub(crate) fn is_ample(&self, available: &[Available]) -> bool {
        let is_stocked = |worker: &Available| {
            let holding = self.workers.get(&worker.id);
            holding.is_some_and(Holding::is_stocked)
        };
        !available.is_empty() && available.iter().all(is_stocked)
    }

    /// Notes what was given.
    pub(crate) fn give(&mut self, claimed: &[Claimed]) {
        for claimed in claimed {
            if let Some(holding) = self.workers.get_mut(&claimed.worker_id) {
                holding.held += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use taskmaster_core::TaskLease;
    use uuid::Uuid;

    use super::*;

    fn worker(id: i32, ended: i64, held: Option<u32>) -> Available {
        Available {
            id,
            name: format!("w{id}"),
            slots: 4,
            claim_window: 10,
            ended,
            held,
        }
    }

    fn given(worker_id: i32) -> Claimed {
        Claimed {
            task: TaskLease {
                id: Uuid::nil(),
                lease: 1,
            },
            worker_id,
            wait_ms: 0,
        }
    }

    fn free(supply: &mut Supply, available: &[Available]) -> Vec<(i32, u32)> {
        let rooms = supply.rooms(available).into_iter();
        rooms.map(|room| (room.worker_id, room.free)).collect()
    }

    #[test]
    fn what_is_given_and_what_ends_is_reckoned_from_the_last_count() {
        let mut supply = Supply::default();
        assert!(supply.is_due());
        let counted = [worker(1, 100, Some(4)), worker(2, 0, Some(12))];
        assert_eq!(free(&mut supply, &counted), [(1, 6), (2, 0)]);
        supply.give(&[given(1), given(1), given(3)]);
        let seen = [worker(1, 101, None), worker(2, 5, None)];
        assert_eq!(free(&mut supply, &seen), [(1, 5), (2, 3)]);
        // Counted anew, from what is there.
        assert_eq!(free(&mut supply, &[worker(1, 101, Some(0))]), [(1, 10)]);
    }

    #[test]
    fn it_is_ample_when_each_has_half_of_what_it_may_have_beyond_its_slots() {
        let mut supply = Supply::default();
        let mut is_ample = |available: &[Available]| {
            supply.rooms(available);
            supply.is_ample(available)
        };
        assert!(is_ample(&[worker(1, 0, Some(7)), worker(2, 0, Some(10))]));
        assert!(!is_ample(&[worker(1, 1, None), worker(2, 0, None)]));
        // One that takes no more than it runs is not stocked: when a run ends, a slot is free.
        let mut full = worker(1, 0, Some(4));
        full.claim_window = 4;
        assert!(!is_ample(&[full]));
    }

    #[tokio::test(start_paused = true)]
    async fn counting_takes_a_small_part_of_the_time() {
        let mut supply = Supply::default();
        supply.counted(Duration::from_millis(30));
        assert!(!supply.is_due());
        assert_eq!(supply.due_in(), Duration::from_millis(600));
        tokio::time::advance(Duration::from_millis(600)).await;
        assert!(supply.is_due());
    }

    #[test]
    fn a_worker_that_has_come_since_is_counted_soon() {
        let mut supply = Supply::default();
        free(&mut supply, &[worker(1, 0, Some(0))]);
        supply.counted(Duration::from_secs(1));
        let seen = [worker(1, 0, None), worker(2, 0, None)];
        assert_eq!(free(&mut supply, &seen), [(1, 10)]);
        assert!(supply.is_due());
    }
}
