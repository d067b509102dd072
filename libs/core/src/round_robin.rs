//! Which worker gets the next task: each in turn, as long as it has room.

/// A worker that may get tasks, and how many more it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The worker's id.
    pub worker_id: i32,
    /// How many more tasks it may be given now.
    pub free: u32,
}

/// Round robin that remembers who was served last, so that the next batch begins with the worker after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoundRobin {
    last_served: Option<i32>,
}

impl RoundRobin {
    /// The worker for each of up to `limit` tasks, in order: every worker with room gets one before any gets its next.
    /// `rooms` in any order; the turn goes by worker id.
    #[must_use]
    pub fn plan(&self, rooms: &[Room], limit: usize) -> Vec<i32> {
        let mut rooms: Vec<Room> = rooms.iter().copied().filter(|room| room.free > 0).collect();
        rooms.sort_by_key(|room| room.worker_id);
        if let Some(last) = self.last_served {
            let first = rooms.partition_point(|room| room.worker_id <= last);
            rooms.rotate_left(first);
        }
        let mut plan = Vec::new();
        while plan.len() < limit && !rooms.is_empty() {
            for room in &mut rooms {
                if plan.len() == limit {
                    break;
                }
                plan.push(room.worker_id);
                room.free -= 1;
            }
            rooms.retain(|room| room.free > 0);
        }
        plan
    }

    /// Notes who got the last task of a plan that was carried out in full or in part.
    pub fn served(&mut self, worker_id: i32) {
        self.last_served = Some(worker_id);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn rooms(free: &[u32]) -> Vec<Room> {
        (1..)
            .zip(free)
            .map(|(worker_id, &free)| Room { worker_id, free })
            .collect()
    }

    #[test]
    fn takes_turns_and_remembers_the_last() {
        let mut turn = RoundRobin::default();
        assert_eq!(turn.plan(&rooms(&[2, 2, 2]), 4), [1, 2, 3, 1]);
        turn.served(1);
        assert_eq!(turn.plan(&rooms(&[2, 2, 2]), 4), [2, 3, 1, 2]);
        turn.served(3);
        assert_eq!(turn.plan(&rooms(&[2, 0, 2]), 9), [1, 3, 1, 3]);
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_its_room_nor_far_more_than_others(
            free in prop::collection::vec(0..20u32, 0..8), limit in 0..100usize, last in 0..9i32,
        ) {
            let mut turn = RoundRobin::default();
            turn.served(last);
            let plan = turn.plan(&rooms(&free), limit);
            prop_assert_eq!(plan.len(), limit.min(free.iter().sum::<u32>() as usize));
            let mut got: HashMap<i32, u32> = HashMap::new();
            for worker in &plan {
                *got.entry(*worker).or_default() += 1;
            }
            let most = got.values().copied().max().unwrap_or(0);
            for room in rooms(&free) {
                let count = got.get(&room.worker_id).copied().unwrap_or(0);
                prop_assert!(count <= room.free);
                prop_assert!(count == room.free || count + 1 >= most);
            }
        }
    }
}
