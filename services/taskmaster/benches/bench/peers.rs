//! Other queue systems on the same machine, side by side: on the same Postgres (in a database of its own, made anew for each
//! run) and the same RabbitMQ, round by round, so that whatever drifts meets all alike.
//!
//! Each is installed from its registry in the version that its folder under `benches/peers` names, and set up for speed as
//! its own documentation has it; the source says what was chosen. Where a figure could be read in two ways, it is read in
//! the peer's favour:
//! - Drain: jobs per second of a backlog of no-ops, from the first handler's call (ours: from when they fall due) to the last
//!   job's end as recorded. Statistics are brought up to date before (ours: not).
//! - Sustained: handlers' calls per second (ours: recorded ends) while two producers add batches as fast as the backlog
//!   allows, without the first seconds.
//! - Latency, idle: from the call that adds one job to the handler's first line (ours: to the commit of the start and of what
//!   comes before the end).
//!
//! Each counts its handlers' calls for each job: every run is refused in which a job was lost or ran twice.

mod install;
mod program;

use std::path::Path;

use anyhow::{Context, Result};

use crate::Scale;
use crate::figures::{Report, percentile};
use crate::latency::one_at_a_time;
use crate::system::{MANY_SLOTS, System, stop};
use crate::throughput::{WORKERS, drain, flow};
use install::Installed;
use program::{Kit, Mode};

/// A queue system that is not ours.
#[derive(Debug)]
struct Peer {
    name: &'static str,
    kit: Kit,
    /// What its kit's program knows it by, if that has several.
    argument: Option<&'static str>,
    /// How much less it is given to drain than the others, so that it takes as long.
    slower: u32,
}

const PEERS: [Peer; 5] = [
    Peer {
        name: "graphile-worker",
        kit: Kit::Node,
        argument: Some("graphile-worker"),
        slower: 1,
    },
    Peer {
        name: "pg-boss",
        kit: Kit::Node,
        argument: Some("pg-boss"),
        slower: 1,
    },
    Peer {
        name: "apalis-postgres",
        kit: Kit::Rust,
        argument: Some("apalis"),
        slower: 1,
    },
    Peer {
        name: "awa",
        kit: Kit::Rust,
        argument: Some("awa"),
        slower: 1,
    },
    Peer {
        name: "Celery",
        kit: Kit::Celery,
        argument: None,
        slower: 10,
    },
];

/// What was measured of one system, a value for each round.
#[derive(Debug, Default)]
struct Rounds {
    drain: Vec<f64>,
    sustained: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Rounds {
    fn add_latency(&mut self, milliseconds: &[f64]) {
        self.p50.push(percentile(milliseconds, 0.5));
        self.p99.push(percentile(milliseconds, 0.99));
    }

    fn report(&self, name: &str, report: &mut Report) {
        report.add(
            format!("peers: {name}: drain"),
            "tasks/s",
            self.drain.clone(),
        );
        report.add(
            format!("peers: {name}: sustained"),
            "tasks/s",
            self.sustained.clone(),
        );
        report.add(
            format!("peers: {name}: latency idle: p50"),
            "ms",
            self.p50.clone(),
        );
        report.add(
            format!("peers: {name}: latency idle: p99"),
            "ms",
            self.p99.clone(),
        );
    }
}

/// Installs the others in `folder`, or in one that goes again, and measures all.
pub(crate) async fn measure(
    bin: Option<&Path>,
    folder: Option<&Path>,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let installed = Installed::in_folder(folder)?;
    System::run(bin, async |system| {
        measure_in(system, &installed, scale, report).await
    })
    .await
}

async fn measure_in(
    system: &System<'_>,
    installed: &Installed,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let mut ours = Rounds::default();
    let mut theirs = PEERS.map(|_| Rounds::default());
    for _ in 0..scale.runs {
        measure_ours(system, scale, &mut ours).await?;
        for (peer, rounds) in PEERS.iter().zip(&mut theirs) {
            measure_peer(system, installed, scale, peer, rounds)
                .await
                .context(peer.name)?;
        }
    }
    ours.report("TaskMaster", report);
    for (peer, rounds) in PEERS.iter().zip(&theirs) {
        rounds.report(peer.name, report);
    }
    for (peer, rounds) in PEERS.iter().zip(&theirs) {
        for (figure, ours, theirs) in [
            ("sustained", &ours.sustained, &rounds.sustained),
            ("drain", &ours.drain, &rounds.drain),
        ] {
            let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
            report.add(
                format!("peers: {figure}, TaskMaster against {}", peer.name),
                "ratio",
                ratios,
            );
        }
    }
    Ok(())
}

async fn measure_ours(system: &System<'_>, scale: Scale, rounds: &mut Rounds) -> Result<()> {
    let workers = system.workers(WORKERS, MANY_SLOTS).await?;
    system.checkpoint().await?;
    drain(system, scale.peers_drain / 10).await?;
    rounds.drain.push(drain(system, scale.peers_drain).await?);
    system.checkpoint().await?;
    rounds
        .sustained
        .push(flow(system, scale.peers_sustained_seconds).await?);
    system.checkpoint().await?;
    one_at_a_time(system, 50).await?;
    rounds.add_latency(&one_at_a_time(system, scale.peers_latency).await?);
    stop(workers).await
}

async fn measure_peer(
    system: &System<'_>,
    installed: &Installed,
    scale: Scale,
    peer: &Peer,
    rounds: &mut Rounds,
) -> Result<()> {
    let count = scale.peers_drain / peer.slower;
    let seconds = u32::try_from(scale.peers_sustained_seconds)?;
    let drained = installed.run(system, peer, Mode::Drain, count).await?;
    rounds.drain.push(drained.rate()?);
    let flowed = installed
        .run(system, peer, Mode::Sustained, seconds)
        .await?;
    rounds.sustained.push(flowed.rate()?);
    let started = installed
        .run(system, peer, Mode::Latency, scale.peers_latency)
        .await?;
    rounds.add_latency(&started.milliseconds);
    Ok(())
}
