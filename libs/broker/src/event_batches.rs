//! Puts queued events into as few messages as possible without turning the order of any task's events.

use std::collections::HashMap;

use taskmaster_core::TaskStatus;
use uuid::Uuid;

use crate::messages::{DEFAULT_QUEUE, encode};
use crate::{Error, TaskEvent, WorkerEvent};

/// The most events in one message: about 60 kB.
const MAX_EVENTS: usize = 500;

/// Batches in the order in which they have to be published.
#[derive(Debug, Default)]
pub(crate) struct EventBatches {
    batches: Vec<EventBatch>,
    newest_with_status: HashMap<TaskStatus, usize>,
    newest_with_task: HashMap<Uuid, usize>,
}

/// Events that share a routing key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum EventBatch {
    Tasks(TaskStatus, Vec<TaskEvent>),
    Worker(WorkerEvent),
}

impl EventBatches {
    /// A task's event joins the newest batch of its status, unless an earlier event of that task is in a later one.
    pub(crate) fn add_task(&mut self, event: TaskEvent) {
        let earliest = self.newest_with_task.get(&event.id).copied().unwrap_or(0);
        let joined = self.newest_with_status.get(&event.status).copied().filter(|&index| {
            let room = matches!(&self.batches[index], EventBatch::Tasks(_, events) if events.len() < MAX_EVENTS);
            index >= earliest && room
        });
        let index = joined.unwrap_or(self.batches.len());
        self.newest_with_status.insert(event.status, index);
        self.newest_with_task.insert(event.id, index);
        match self.batches.get_mut(index) {
            Some(EventBatch::Tasks(_, events)) => events.push(event),
            _ => self
                .batches
                .push(EventBatch::Tasks(event.status, vec![event])),
        }
    }

    /// A worker's event is a message of its own: there are few.
    pub(crate) fn add_worker(&mut self, event: WorkerEvent) {
        self.batches.push(EventBatch::Worker(event));
    }

    pub(crate) fn into_batches(self) -> Vec<EventBatch> {
        self.batches
    }
}

impl EventBatch {
    pub(crate) fn routing_key(&self) -> String {
        match self {
            Self::Tasks(status, _) => format!("task.{DEFAULT_QUEUE}.{status}"),
            Self::Worker(event) => format!("worker.{}.{}", event.name, event.status),
        }
    }

    pub(crate) fn body(&self) -> Result<Vec<u8>, Error> {
        match self {
            Self::Tasks(_, events) => encode(events),
            Self::Worker(event) => encode(&[event]),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Tasks(_, events) => events.len(),
            Self::Worker(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(task: u128, status: TaskStatus) -> TaskEvent {
        TaskEvent {
            id: Uuid::from_u128(task),
            status,
            assigned_worker_name: None,
        }
    }

    fn batches(events: &[(u128, TaskStatus)]) -> Vec<(TaskStatus, Vec<u128>)> {
        let mut batches = EventBatches::default();
        for (task, status) in events {
            batches.add_task(event(*task, *status));
        }
        let ids = |events: Vec<TaskEvent>| events.iter().map(|event| event.id.as_u128()).collect();
        batches
            .into_batches()
            .into_iter()
            .map(|batch| match batch {
                EventBatch::Tasks(status, events) => (status, ids(events)),
                EventBatch::Worker(_) => unreachable!(),
            })
            .collect()
    }

    #[test]
    fn events_of_one_status_share_a_message() {
        use TaskStatus::{Completed, Running};
        assert_eq!(
            batches(&[
                (1, Running),
                (2, Running),
                (1, Completed),
                (3, Running),
                (2, Completed)
            ]),
            [(Running, vec![1, 2, 3]), (Completed, vec![1, 2])]
        );
    }

    #[test]
    fn no_task_goes_backwards() {
        use TaskStatus::{Completed, Running};
        assert_eq!(
            batches(&[
                (1, Completed),
                (2, Running),
                (2, Completed),
                (3, Completed),
                (4, Running)
            ]),
            [
                (Completed, vec![1]),
                (Running, vec![2, 4]),
                (Completed, vec![2, 3])
            ]
        );
    }

    #[test]
    fn a_message_stays_within_its_size() {
        let events: Vec<_> = (0..1200)
            .map(|task| (task, TaskStatus::Scheduled))
            .collect();
        let sizes: Vec<_> = batches(&events)
            .iter()
            .map(|(_, tasks)| tasks.len())
            .collect();
        assert_eq!(sizes, [500, 500, 200]);
    }
}
