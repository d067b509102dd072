//! What the facts about queues and exchanges mean.

use taskmaster_broker::{Found, Names, Piece, Usage};

use super::finding::Verdict;
use crate::output::count;

/// A verdict on one thing that the services declare. `led` is whether a coordinator leads, if that is known.
pub(super) fn judge(piece: Piece<'_>, found: &Found, names: &Names, led: Option<bool>) -> Verdict {
    match found {
        Found::Nothing => missing(piece),
        Found::Broken => broken(piece),
        Found::Different { reason, usage } => different(piece, reason, *usage, names),
        Found::AsDeclared(usage) => match piece {
            Piece::Events => Verdict::ok("is there"),
            Piece::Submissions => submissions(*usage, led),
            Piece::Rejected => rejected(*usage),
            Piece::Worker(_) => worker(*usage),
        },
    }
}

fn missing(piece: Piece<'_>) -> Verdict {
    let harm = match piece {
        Piece::Events => "nothing is shown live, and tasks start up to a second late",
        Piece::Submissions => "what producers publish is lost",
        Piece::Rejected => "submissions that are not valid have nowhere to go",
        Piece::Worker(_) => "the worker hears of its tasks a second late",
    };
    Verdict::problem(
        format!("is not there: {harm}"),
        "every service makes it when it connects: start one, or read the log of those that run",
    )
    .repairable()
}

fn broken(piece: Piece<'_>) -> Verdict {
    let harm = match piece {
        Piece::Rejected => "submissions that are not valid have nowhere to go",
        _ => "producers get no confirms",
    };
    Verdict::problem(
        format!("is known to RabbitMQ, which cannot use it: {harm}"),
        "in a cluster, wait until all its nodes run. If that does not help, \
         `taskmaster doctor --repair --delete-broken-queues` deletes it and declares it again",
    )
}

fn different(piece: Piece<'_>, reason: &str, usage: Usage, names: &Names) -> Verdict {
    let name = piece.name(names);
    let found = format!("is of another kind, and the services cannot use it: {reason}");
    if piece == Piece::Events {
        let advice =
            "delete the exchange once nothing is bound to it; the services make it as it should be";
        return Verdict::problem(found, advice).repairable();
    }
    let delete = format!(
        "delete it (`rabbitmqctl delete_queue {name}`); the services make it as it should be"
    );
    if usage == Usage::default() {
        let advice = format!("it is empty and nobody uses it: {delete}");
        return Verdict::problem(found, advice).repairable();
    }
    Verdict::problem(
        format!("{found}; {} in it", at(usage)),
        format!("stop what publishes to it and what consumes it, keep its messages, and {delete}"),
    )
}

fn submissions(usage: Usage, led: Option<bool>) -> Verdict {
    let found = at(usage);
    match (usage.consumers, led) {
        (1.., _) => Verdict::ok(found),
        (0, Some(true)) => Verdict::problem(
            format!("{found}, although a coordinator leads"),
            "read the coordinator's log: it takes submissions in as soon as it reaches RabbitMQ",
        ),
        (0, _) if usage.messages > 0 => Verdict::problem(
            found,
            "start a coordinator (`taskmaster coordinator`): it takes them in",
        ),
        (0, _) => Verdict::ok(found),
    }
}

fn rejected(usage: Usage) -> Verdict {
    if usage.messages == 0 {
        return Verdict::ok("is empty");
    }
    Verdict::warning(
        format!("{} not valid", submissions_that_are(usage.messages)),
        "look at them on RabbitMQ's management page (Queues, Get messages): each has its reason in the header \
         x-taskmaster-reason. What is consumed or purged there is gone",
    )
}

fn submissions_that_are(messages: u32) -> String {
    let verb = if messages == 1 { "was" } else { "were" };
    format!("{} {verb}", count(messages as usize, "submission"))
}

fn worker(usage: Usage) -> Verdict {
    let found = at(usage);
    match usage.consumers {
        1 => Verdict::ok(found),
        0 => Verdict::problem(
            format!("{found}, although the worker is online"),
            "read the worker's log: it consumes as soon as it reaches RabbitMQ. Meanwhile it finds its tasks a second late",
        ),
        2.. => Verdict::problem(
            format!("{found}: somebody takes messages that are the worker's"),
            "stop what consumes it besides the worker: a queue is one worker's own",
        ),
    }
}

fn at(usage: Usage) -> String {
    format!(
        "{}, {}",
        count(usage.messages as usize, "message"),
        count(usage.consumers as usize, "consumer")
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    const WORKER: Piece<'_> = Piece::Worker("w");

    fn usage(messages: u32, consumers: u32) -> Usage {
        Usage {
            messages,
            consumers,
        }
    }

    fn judged(piece: Piece<'_>, found: &Found, led: Option<bool>) -> Verdict {
        judge(piece, found, &Names::new("t"), led)
    }

    #[test]
    fn what_is_missing_is_repairable() {
        for piece in [Piece::Events, Piece::Submissions, Piece::Rejected, WORKER] {
            let verdict = judged(piece, &Found::Nothing, Some(true));
            assert!(verdict.is_problem() && verdict.repairable, "{verdict:?}");
        }
    }

    #[test]
    fn what_rabbitmq_cannot_use_is_for_a_person_to_decide() {
        for piece in [Piece::Submissions, Piece::Rejected] {
            let verdict = judged(piece, &Found::Broken, Some(true));
            assert!(verdict.is_problem() && !verdict.repairable, "{verdict:?}");
            let advice = verdict.advice.unwrap();
            assert!(advice.contains("--delete-broken-queues"), "{advice}");
        }
    }

    #[test]
    fn what_is_of_another_kind_is_repairable_when_nothing_is_lost_by_it() {
        let different = |usage| Found::Different {
            reason: "inequivalent arg".to_owned(),
            usage,
        };
        for piece in [Piece::Submissions, Piece::Rejected, WORKER] {
            let verdict = judged(piece, &different(usage(0, 0)), None);
            assert!(verdict.is_problem() && verdict.repairable, "{verdict:?}");
            assert!(verdict.found.contains("inequivalent arg"), "{verdict:?}");
            for used in [usage(1, 0), usage(0, 1)] {
                let verdict = judged(piece, &different(used), None);
                assert!(verdict.is_problem() && !verdict.repairable, "{verdict:?}");
            }
        }
        let verdict = judged(Piece::Submissions, &different(usage(1, 0)), None);
        let advice = verdict.advice.unwrap();
        assert!(advice.contains("delete_queue t.submissions"), "{advice}");
    }

    #[test]
    fn consumers_and_messages() {
        for (piece, at, led, expected) in [
            (Piece::Events, usage(0, 0), None, Status::Ok),
            (Piece::Submissions, usage(5, 1), Some(true), Status::Ok),
            // Every coordinator takes submissions in, not only the one that leads.
            (Piece::Submissions, usage(0, 3), Some(false), Status::Ok),
            (Piece::Submissions, usage(0, 0), Some(true), Status::Problem),
            (Piece::Submissions, usage(0, 0), Some(false), Status::Ok),
            (
                Piece::Submissions,
                usage(1, 0),
                Some(false),
                Status::Problem,
            ),
            (Piece::Submissions, usage(0, 0), None, Status::Ok),
            (Piece::Rejected, usage(0, 0), None, Status::Ok),
            (Piece::Rejected, usage(2, 0), None, Status::Warning),
            (WORKER, usage(7, 1), None, Status::Ok),
            (WORKER, usage(0, 0), None, Status::Problem),
            (WORKER, usage(0, 2), None, Status::Problem),
        ] {
            let verdict = judged(piece, &Found::AsDeclared(at), led);
            assert_eq!(verdict.status, expected, "{piece:?} {at:?} {led:?}");
            assert!(!verdict.repairable, "{verdict:?}");
        }
    }
}
