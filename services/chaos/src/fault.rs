//! The kinds of harm, and in which order they are done.

use std::collections::BTreeMap;
use std::fmt;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use serde::Serialize;

/// A kind of harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// SIGKILL a worker
    WorkerKilled,
    /// SIGSTOP a worker past its heartbeat time-out, then SIGCONT
    WorkerHangs,
    /// SIGTERM a worker, wait for its drain, start it again
    WorkerRestarted,
    /// SIGKILL the coordinator that leads
    CoordinatorKilled,
    /// SIGSTOP the coordinator that leads, later SIGCONT
    CoordinatorHangs,
    /// SIGKILL an API, start it again
    ApiKilled,
    /// Cut a worker's link to Postgres
    PostgresLinkCut,
    /// Cut a worker's link to RabbitMQ
    RabbitmqLinkCut,
    /// Cut a worker's links to both, past its heartbeat time-out
    BothLinksCut,
    /// Delay a worker's links by 100 ms each way
    LinksDelayed,
    /// Let a worker's links go silent, past its heartbeat time-out
    LinksSilent,
    /// Lose Postgres's answers to a worker and to a coordinator
    AnswersLost,
    /// Lose the answers to submissions, HTTP and AMQP
    SubmissionsCut,
    /// Stop RabbitMQ and start it again
    RabbitmqRestarted,
    /// SIGKILL RabbitMQ, start it again
    RabbitmqKilled,
    /// SIGKILL RabbitMQ and remove all that it has stored, start it again
    RabbitmqWiped,
    /// Delete every queue
    QueuesDeleted,
    /// Stop Postgres (fast) and start it again
    PostgresRestarted,
    /// Stop Postgres (immediate) and start it again
    PostgresCrashed,
    /// End every connection to Postgres
    BackendsKilled,
    /// Hold every connection that Postgres has left, up to 300
    ConnectionsHeld,
    /// Fill the disk that output is stored on
    OutputDiskFull,
}

impl Fault {
    /// Every kind.
    pub(crate) const ALL: [Self; 22] = [
        Self::WorkerKilled,
        Self::WorkerHangs,
        Self::WorkerRestarted,
        Self::CoordinatorKilled,
        Self::CoordinatorHangs,
        Self::ApiKilled,
        Self::PostgresLinkCut,
        Self::RabbitmqLinkCut,
        Self::BothLinksCut,
        Self::LinksDelayed,
        Self::LinksSilent,
        Self::AnswersLost,
        Self::SubmissionsCut,
        Self::RabbitmqRestarted,
        Self::RabbitmqKilled,
        Self::RabbitmqWiped,
        Self::QueuesDeleted,
        Self::PostgresRestarted,
        Self::PostgresCrashed,
        Self::BackendsKilled,
        Self::ConnectionsHeld,
        Self::OutputDiskFull,
    ];

    /// What is done.
    pub(crate) fn does(self) -> &'static str {
        match self {
            Self::WorkerKilled => "SIGKILL a worker",
            Self::WorkerHangs => "SIGSTOP a worker past its heartbeat time-out, then SIGCONT",
            Self::WorkerRestarted => "SIGTERM a worker, wait for its drain, start it again",
            Self::CoordinatorKilled => "SIGKILL the coordinator that leads",
            Self::CoordinatorHangs => "SIGSTOP the coordinator that leads, later SIGCONT",
            Self::ApiKilled => "SIGKILL an API, start it again",
            Self::PostgresLinkCut => "cut a worker's link to Postgres",
            Self::RabbitmqLinkCut => "cut a worker's link to RabbitMQ",
            Self::BothLinksCut => "cut a worker's links to both, past its heartbeat time-out",
            Self::LinksDelayed => "delay a worker's links by 100 ms each way",
            Self::LinksSilent => "let a worker's links go silent, past its heartbeat time-out",
            Self::AnswersLost => "lose Postgres's answers to a worker and to a coordinator",
            Self::SubmissionsCut => "lose the answers to submissions, HTTP and AMQP",
            Self::RabbitmqRestarted => "stop RabbitMQ and start it again",
            Self::RabbitmqKilled => "SIGKILL RabbitMQ, start it again",
            Self::RabbitmqWiped => {
                "SIGKILL RabbitMQ and remove all that it has stored, start it again"
            }
            Self::QueuesDeleted => "delete every queue",
            Self::PostgresRestarted => "stop Postgres (fast) and start it again",
            Self::PostgresCrashed => "stop Postgres (immediate) and start it again",
            Self::BackendsKilled => "end every connection to Postgres",
            Self::ConnectionsHeld => "hold every connection that Postgres has left, up to 300",
            Self::OutputDiskFull => "fill the disk that output is stored on",
        }
    }

    /// What the recovery is measured from, and to.
    pub(crate) fn recovered(self) -> &'static str {
        match self {
            Self::WorkerKilled => "from the kill until all that it held was given back",
            Self::CoordinatorKilled | Self::CoordinatorHangs => {
                "from the signal until tasks that are submitted after it run"
            }
            Self::ApiKilled => "from its start until it is ready",
            Self::WorkerHangs
            | Self::WorkerRestarted
            | Self::PostgresLinkCut
            | Self::RabbitmqLinkCut
            | Self::BothLinksCut
            | Self::LinksDelayed
            | Self::LinksSilent => "from the end of it until that worker runs a task again",
            _ => "from the end of it until tasks that are submitted after that run",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name that JSON has.
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => f.pad(&name),
            _ => f.pad(""),
        }
    }
}

/// Gives one kind after the other: each once, in an order of its own, before any comes again.
#[derive(Debug)]
pub(crate) struct Schedule {
    random: StdRng,
    kinds: Vec<Fault>,
    round: Vec<Fault>,
}

impl Schedule {
    /// A schedule of these kinds.
    pub(crate) fn new(random: StdRng, kinds: Vec<Fault>) -> Self {
        Self {
            random,
            kinds,
            round: Vec::new(),
        }
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Fault {
        if self.round.is_empty() {
            self.round.clone_from(&self.kinds);
            self.round.shuffle(&mut self.random);
        }
        self.round.pop().unwrap_or(Fault::WorkerKilled)
    }

    /// One of `count`.
    pub(crate) fn pick(&mut self, count: usize) -> usize {
        self.random.random_range(0..count)
    }

    /// How long something lasts, in milliseconds.
    pub(crate) fn millis(&mut self, from: u64, to: u64) -> u64 {
        self.random.random_range(from..=to)
    }
}

/// How often each kind was done, and how long the recovery from each took, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Recoveries(pub(crate) BTreeMap<Fault, Vec<u64>>);

impl Recoveries {
    pub(crate) fn add(&mut self, fault: Fault, millis: u64) {
        self.0.entry(fault).or_default().push(millis);
    }
}

/// The middle one, or the mean of the two middle ones.
pub(crate) fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    match values.len() {
        0 => 0,
        length if length.is_multiple_of(2) => (values[length / 2 - 1] + values[length / 2]) / 2,
        length => values[length / 2],
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn every_kind_comes_once_a_round_and_the_seed_decides_the_order() {
        let rounds = |seed| {
            let kinds = Fault::ALL.to_vec();
            let mut schedule = Schedule::new(StdRng::seed_from_u64(seed), kinds);
            let round = (0..2 * Fault::ALL.len()).map(|_| schedule.next());
            round.collect::<Vec<_>>()
        };
        let of_one = rounds(1);
        for round in of_one.chunks(Fault::ALL.len()) {
            let mut sorted = round.to_vec();
            sorted.sort();
            assert_eq!(sorted, Fault::ALL);
        }
        assert_eq!(rounds(1), of_one);
        assert_ne!(rounds(2), of_one);
    }

    #[test]
    fn the_middle() {
        assert_eq!(median(&[]), 0);
        assert_eq!(median(&[9, 1, 5]), 5);
        assert_eq!(median(&[1, 9, 5, 7]), 6);
    }
}
