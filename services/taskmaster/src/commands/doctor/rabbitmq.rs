//! Asks RabbitMQ, repairs what may be repaired there, and asks again.

use std::time::Instant;

use taskmaster_broker::{BrokerConfig, ControlPublisher, Error, Found, Inspector, Names, Piece};
use tokio::time::sleep;

use super::MOMENT;
use super::finding::{Area, Finding, Findings, Verdict};
use super::postgres::Known;
use super::queues;
use crate::failure::line;

/// What all workers' queues are called together, where none can be named.
const WORKER_QUEUES: &str = "worker-queues";

/// What may be repaired.
#[derive(Debug, Clone, Copy)]
pub(super) struct Repair {
    /// Whatever can be repaired without losing anything.
    pub(super) safe: bool,
    /// Queues that RabbitMQ cannot use, too.
    pub(super) broken_queues: bool,
}

/// Makes every check of RabbitMQ, by what Postgres knows.
pub(super) async fn examine(config: &BrokerConfig, known: &Known, repair: Repair) -> Vec<Finding> {
    let mut findings = Findings::new(Area::Rabbitmq);
    let names = config.names();
    let workers = known.workers.as_deref().unwrap_or_default();
    let shared = [Piece::Events, Piece::Submissions, Piece::Rejected];
    let own = workers.iter().map(|name| Piece::Worker(name));
    let pieces: Vec<Piece<'_>> = shared.into_iter().chain(own).collect();

    let begin = Instant::now();
    match Inspector::connect(config).await {
        Ok(inspector) => {
            let answered = format!("answered within {} ms", begin.elapsed().as_millis());
            findings.push("reachable", Verdict::ok(answered));
            findings.push("publishing", publishing(config).await);
            let declarations = Declarations {
                inspector: &inspector,
                names: &names,
                led: known.led,
                delete_broken: repair.broken_queues,
            };
            for (piece, verdict) in declarations.examine(&pieces, repair).await {
                findings.push(piece.name(&names), verdict);
            }
            inspector.close().await;
        }
        Err(error) => {
            let advice = "check AMQP_URL, and that RabbitMQ runs there and takes this user";
            findings.push("reachable", Verdict::problem(line(&error.into()), advice));
            let others = pieces.iter().map(|piece| piece.name(&names));
            for check in std::iter::once("publishing".to_owned()).chain(others) {
                findings.push(check, Verdict::skipped("RabbitMQ cannot be used"));
            }
        }
    }
    if known.workers.is_none() {
        let why = "Postgres does not say which workers are online";
        findings.push(WORKER_QUEUES, Verdict::skipped(why));
    } else if workers.is_empty() {
        findings.push(WORKER_QUEUES, Verdict::skipped("no worker is online"));
    }
    findings.finish(&[], "")
}

async fn publishing(config: &BrokerConfig) -> Verdict {
    let asked = async { ControlPublisher::new(config)?.takes_messages().await };
    match asked.await {
        Ok(()) => Verdict::ok("messages are taken"),
        Err(error @ Error::Blocked { .. }) => Verdict::problem(
            line(&error.into()),
            "`rabbitmq-diagnostics alarms` tells of what: free some. Until then tasks wait in Postgres, and none is lost",
        ),
        Err(error) => Verdict::problem(line(&error.into()), "read RabbitMQ's log"),
    }
}

/// What is declared, and whom to ask about it.
struct Declarations<'a> {
    inspector: &'a Inspector,
    names: &'a Names,
    led: Option<bool>,
    delete_broken: bool,
}

impl Declarations<'_> {
    async fn examine<'p>(&self, pieces: &[Piece<'p>], repair: Repair) -> Vec<(Piece<'p>, Verdict)> {
        let mut verdicts = Vec::with_capacity(pieces.len());
        for &piece in pieces {
            verdicts.push((piece, self.look(piece).await));
        }
        if !verdicts.iter().any(|(_, verdict)| verdict.is_problem()) {
            return verdicts;
        }
        // Services that run put it right by themselves, if they can.
        sleep(MOMENT).await;
        for (piece, verdict) in &mut verdicts {
            if verdict.is_problem() {
                *verdict = self.look(*piece).await;
            }
            if repair.safe && verdict.repairable {
                let again = async {
                    let verdict = self.look(*piece).await;
                    if !verdict.is_problem() {
                        return verdict;
                    }
                    // Who consumes it comes back by itself.
                    sleep(MOMENT).await;
                    self.look(*piece).await
                };
                *verdict = verdict.clone().mended(self.repair(*piece), again).await;
            }
        }
        verdicts
    }

    async fn look(&self, piece: Piece<'_>) -> Verdict {
        match self.inspector.look(piece).await {
            // Asked for by name: what is in it may be lost.
            Ok(found @ Found::Broken) if self.delete_broken => {
                queues::judge(piece, &found, self.names, self.led).repairable()
            }
            Ok(found) => queues::judge(piece, &found, self.names, self.led),
            Err(error) => Verdict::problem(
                line(&error.into()),
                "if it refuses, give this user the right to configure, write and read what has this prefix; else read \
                 RabbitMQ's log",
            ),
        }
    }

    async fn repair(&self, piece: Piece<'_>) -> Result<(), String> {
        let repaired = async {
            match self.inspector.look(piece).await? {
                Found::AsDeclared(_) => Ok(()),
                Found::Nothing => self.inspector.declare(piece).await,
                Found::Broken => self.inspector.replace_broken(piece).await,
                Found::Different { .. } => self.inspector.replace(piece).await,
            }
        };
        repaired.await.map_err(|error| line(&error.into()))
    }
}
