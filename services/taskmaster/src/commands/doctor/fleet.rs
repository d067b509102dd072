//! What the facts about the coordinator that leads, the workers and the tasks mean.

use taskmaster_store::inspect::{Backlog, Worker};

use super::finding::Verdict;
use super::server::duration;
use crate::output::count;

/// How much longer than its heartbeat time-out a worker is silent before somebody should have noticed.
const MARGIN_SECONDS: i64 = 5;

/// How many workers are named in one line.
const NAMED: usize = 3;

/// Who leads, who works, and what waits, all at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Fleet {
    /// Whether a coordinator leads.
    pub(super) led: bool,
    /// Those that are there, and those that hold tasks though they are not.
    pub(super) workers: Vec<Worker>,
    /// What waits.
    pub(super) backlog: Backlog,
    /// Whether tasks were given out since an earlier look. While that goes on, a slot that is free will be used.
    pub(super) moving: bool,
}

impl Fleet {
    /// Every verdict, by the name of its check.
    pub(super) fn verdicts(&self) -> [(&'static str, Verdict); 6] {
        [
            (super::postgres::LEADER, self.leader()),
            ("workers", self.workers()),
            ("waiting", self.waiting()),
            ("time-limits", self.time_limits()),
            ("assignments", self.assignments()),
            ("lost-workers", self.lost_workers()),
        ]
    }

    /// The workers that are there.
    pub(super) fn present(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|worker| is_present(worker))
    }

    fn online(&self) -> impl Iterator<Item = &Worker> {
        self.present().filter(|worker| worker.status == "online")
    }

    fn leader(&self) -> Verdict {
        let due = self.backlog.due;
        if self.led {
            Verdict::ok("a coordinator leads")
        } else if due > 0 {
            Verdict::problem(
                format!("no coordinator leads, and {} due", tasks(due, "is", "are")),
                "start one (`taskmaster coordinator`), or read the log of the one that runs",
            )
        } else {
            Verdict::warning(
                "no coordinator leads; nothing is due",
                "start one (`taskmaster coordinator`), unless it is stopped on purpose",
            )
        }
    }

    fn workers(&self) -> Verdict {
        let silent: Vec<&Worker> = self
            .workers
            .iter()
            .filter(|worker| worker.status != "offline" && !is_present(worker))
            .collect();
        if !silent.is_empty() && self.led {
            return Verdict::problem(
                format!("silent, and not marked offline: {}", names(&silent)),
                "read the log of the coordinator that leads: it should have marked them",
            );
        }
        let online = self.online().count();
        let due = self.backlog.due;
        if online == 0 && due > 0 {
            return Verdict::problem(
                format!("none is online, and {} due", tasks(due, "is", "are")),
                "start one (`taskmaster worker`), or read the log of the one that runs",
            );
        }
        if online == 0 {
            return Verdict::warning(
                "none is online; nothing is due",
                "start one (`taskmaster worker`), unless they are stopped on purpose",
            );
        }
        let draining = self.present().count() - online;
        let slots: i64 = self.online().map(|worker| worker.slots).sum();
        let running: i64 = self.present().map(|worker| worker.running).sum();
        Verdict::ok(format!(
            "{online} online with {slots} slots, {draining} draining; {} running",
            tasks(running, "is", "are")
        ))
    }

    fn waiting(&self) -> Verdict {
        let Backlog {
            due,
            overdue,
            longest_seconds,
            ..
        } = self.backlog;
        if overdue == 0 {
            return Verdict::ok(format!("{} due, none for long", tasks(due, "is", "are")));
        }
        let found = format!(
            "{} due for more than a minute, the first for {}",
            tasks(overdue, "is", "are"),
            duration(longest_seconds)
        );
        if !self.led || self.online().next().is_none() {
            return Verdict::problem(
                found,
                "nobody gives them out, or nobody takes them: see the leader and the workers above",
            );
        }
        let room: i64 = self
            .online()
            .map(|worker| (worker.window - worker.held).max(0))
            .sum();
        if room == 0 {
            return Verdict::ok(format!("{found}: every slot is in use"));
        }
        if self.moving {
            return Verdict::ok(format!("{found}: they are being given out"));
        }
        Verdict::problem(
            format!("{found}, while the workers have room for {room}"),
            "nothing is given out while RabbitMQ is away or takes no messages: see below, and the log of the coordinator \
             that leads",
        )
    }

    fn time_limits(&self) -> Verdict {
        match self.backlog.past_time_limit {
            0 => Verdict::ok("no task runs long past its own"),
            past => Verdict::problem(
                format!(
                    "{} more than a minute past its time limit",
                    tasks(past, "runs", "run")
                ),
                self.leaders_duty("ends them"),
            ),
        }
    }

    fn assignments(&self) -> Verdict {
        let stuck: Vec<&Worker> = self
            .present()
            .filter(|worker| worker.unstarted > 0 && worker.running < worker.slots)
            .collect();
        if stuck.is_empty() {
            return Verdict::ok("every worker starts what it is given");
        }
        Verdict::problem(
            format!(
                "given out more than a minute ago and not started, though slots are free, at {}",
                names(&stuck)
            ),
            "read the worker's log; when it is stopped, what it has not started goes to others",
        )
    }

    fn lost_workers(&self) -> Verdict {
        let lost: Vec<&Worker> = self
            .workers
            .iter()
            .filter(|worker| worker.held > 0 && !is_present(worker))
            .collect();
        if lost.is_empty() {
            return Verdict::ok("no task is held by a worker that is gone");
        }
        let held: i64 = lost.iter().map(|worker| worker.held).sum();
        Verdict::problem(
            format!(
                "{} held by workers that are gone: {}",
                tasks(held, "is", "are"),
                names(&lost)
            ),
            self.leaders_duty("gives them to others, or ends them"),
        )
    }

    fn leaders_duty(&self, duty: &str) -> String {
        if self.led {
            format!("the coordinator that leads {duty}: read its log")
        } else {
            format!("start a coordinator: it {duty}")
        }
    }
}

/// Whether a worker is alive, whatever its row says.
fn is_present(worker: &Worker) -> bool {
    worker.status != "offline"
        && worker.silent_seconds <= worker.heartbeat_timeout_seconds + MARGIN_SECONDS
}

fn tasks(number: i64, one: &str, many: &str) -> String {
    let noun = count(usize::try_from(number).unwrap_or_default(), "task");
    format!("{noun} {}", if number == 1 { one } else { many })
}

fn names(workers: &[&Worker]) -> String {
    let named: Vec<&str> = workers
        .iter()
        .take(NAMED)
        .map(|it| it.name.as_str())
        .collect();
    match workers.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    fn worker(name: &str) -> Worker {
        Worker {
            name: name.to_owned(),
            status: "online".to_owned(),
            slots: 4,
            window: 4,
            held: 0,
            running: 0,
            unstarted: 0,
            silent_seconds: 1,
            heartbeat_timeout_seconds: 10,
        }
    }

    fn fleet(workers: Vec<Worker>) -> Fleet {
        Fleet {
            led: true,
            workers,
            ..Fleet::default()
        }
    }

    /// What is not `ok`, by name.
    fn wrong(fleet: &Fleet) -> Vec<(&'static str, Status)> {
        let verdicts = fleet.verdicts().into_iter();
        verdicts
            .map(|(check, verdict)| (check, verdict.status))
            .filter(|(_, status)| *status != Status::Ok)
            .collect()
    }

    fn backlog(due: i64, overdue: i64) -> Backlog {
        Backlog {
            due,
            overdue,
            longest_seconds: 90,
            ..Backlog::default()
        }
    }

    #[test]
    fn one_that_works() {
        assert_eq!(wrong(&fleet(vec![worker("a")])), []);
        // Who waits for a slot that is in use waits rightly.
        let full = Worker {
            held: 4,
            running: 4,
            ..worker("a")
        };
        let busy = Fleet {
            backlog: backlog(100, 90),
            ..fleet(vec![full])
        };
        assert_eq!(wrong(&busy), []);
        // And a slot that has just become free is used in a moment.
        let moving = Fleet {
            backlog: backlog(100, 90),
            moving: true,
            ..fleet(vec![worker("a")])
        };
        assert_eq!(wrong(&moving), []);
    }

    #[test]
    fn one_that_is_stopped_is_no_problem_until_something_is_due() {
        let mut stopped = Fleet::default();
        let warned = [("leader", Status::Warning), ("workers", Status::Warning)];
        assert_eq!(wrong(&stopped), warned);
        stopped.backlog = backlog(1, 0);
        let problems = [("leader", Status::Problem), ("workers", Status::Problem)];
        assert_eq!(wrong(&stopped), problems);
        stopped.backlog = backlog(1, 1);
        assert_eq!(wrong(&stopped)[2], ("waiting", Status::Problem));
    }

    #[test]
    fn tasks_wait_though_there_is_room() {
        let stuck = Fleet {
            backlog: backlog(2, 1),
            ..fleet(vec![worker("a"), worker("b")])
        };
        assert_eq!(wrong(&stuck), [("waiting", Status::Problem)]);
        let found = stuck.waiting().found;
        assert!(
            found.starts_with("1 task is due") && found.contains("room for 8"),
            "{found}"
        );
    }

    #[test]
    fn a_worker_that_is_gone_and_holds_tasks() {
        let offline = Worker {
            status: "offline".to_owned(),
            held: 2,
            ..worker("gone")
        };
        let lost = fleet(vec![worker("a"), offline]);
        assert_eq!(wrong(&lost), [("lost-workers", Status::Problem)]);
        assert!(lost.lost_workers().found.contains("gone"));

        // Nobody has marked it: with a leader that is a fault of its own.
        let silent = Worker {
            silent_seconds: 16,
            held: 1,
            ..worker("silent")
        };
        let mut lost = fleet(vec![worker("a"), silent]);
        let problems = [
            ("workers", Status::Problem),
            ("lost-workers", Status::Problem),
        ];
        assert_eq!(wrong(&lost), problems);
        assert_eq!(lost.present().count(), 1);
        lost.led = false;
        let advice = lost.lost_workers().advice.unwrap();
        assert!(advice.contains("start a coordinator"), "{advice}");
    }

    #[test]
    fn assignments_that_were_not_heard() {
        let deaf = Worker {
            held: 3,
            running: 1,
            unstarted: 2,
            ..worker("deaf")
        };
        let full = Worker {
            slots: 1,
            ..deaf.clone()
        };
        assert_eq!(wrong(&fleet(vec![full])), []);
        let verdict = fleet(vec![deaf]).assignments();
        assert!(verdict.is_problem() && verdict.found.contains("deaf"));
    }

    #[test]
    fn tasks_that_nobody_ended() {
        let mut late = fleet(vec![worker("a")]);
        late.backlog.past_time_limit = 3;
        assert_eq!(wrong(&late), [("time-limits", Status::Problem)]);
    }

    #[test]
    fn many_workers_are_not_all_named() {
        let all: Vec<Worker> = ["a", "b", "c", "d", "e"].map(worker).into();
        let all: Vec<&Worker> = all.iter().collect();
        assert_eq!(names(&all), "a, b, c and 2 more");
        assert_eq!(names(&all[..2]), "a, b");
    }
}
