//! `taskmaster chaos`: starts a system of its own, submits to it at a steady rate, breaks it in every way that it has
//! been promised to survive, and then compares what was submitted, what ran and what is written down.

mod fault;
mod harm;
mod ledger;
mod load;
mod member;
mod output_disk;
pub mod proxy;
mod recover;
mod report;
mod system;
mod verify;
mod work;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::SeedableRng;
use rand::rngs::StdRng;
use taskmaster_embedded::Guard;
use taskmaster_store::witness;
use tokio_util::sync::CancellationToken;

use fault::{Recoveries, Schedule};
use harm::Harm;
use ledger::Ledger;
use load::Load;
use system::System;
use verify::{Evidence, verify};

pub use fault::Fault;
pub use report::{Recovery, Report};
pub use verify::Outcome;

/// How long the last tasks may take once everything is well again: the longest chain of retries and their pauses.
const QUIET: Duration = Duration::from_secs(240);
/// How long the first tasks may take.
const READY: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Debug, Clone, clap::Args)]
pub struct ChaosConfig {
    /// How long to submit and to break things
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration, value_name = "TIME")]
    pub duration: Duration,
    /// Decides what is submitted, what is broken, and in which order
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,
    /// Tasks submitted in a second
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
    /// Only this kind of harm; may be given several times
    #[arg(long = "fault", value_enum, value_name = "KIND")]
    pub faults: Vec<Fault>,
    /// An empty folder for everything, to look at afterwards; unless told a temporary one, which stays when something
    /// was violated
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Does it. `program` is the executable under test, `guard` ends its servers with us, `tell` is told of each step.
/// When `stop` is cancelled, no more harm is done, and what there is so far is checked.
///
/// # Errors
/// When it cannot begin, or what it needs to check fails. A violation is no error: see [`Report::violations`].
pub async fn run(
    config: &ChaosConfig,
    program: &Path,
    guard: Guard,
    stop: CancellationToken,
    tell: &mut dyn FnMut(String),
) -> Result<Report> {
    tell("starting Postgres, RabbitMQ, 2 coordinators, 2 APIs and 4 workers …".to_owned());
    let mut system = System::start(config.data_dir.as_deref(), program, guard).await?;
    let result = under(config, &mut system, stop, tell).await;
    tell("stopping everything …".to_owned());
    let bad_stops = system.stop().await;
    let mut report = result?;
    report.violations.extend(bad_stops);
    report.violations.extend(left_behind(&system.cookie).await);
    report.stale_results = stale_results(&mut system);
    if !report.violations.is_empty() {
        tell(format!(
            "what everybody said is in {}",
            system.keep_folder().display()
        ));
    }
    Ok(report)
}

async fn under(
    config: &ChaosConfig,
    system: &mut System,
    stop: CancellationToken,
    tell: &mut dyn FnMut(String),
) -> Result<Report> {
    let mut kinds = match config.faults.as_slice() {
        [] => Fault::ALL.to_vec(),
        faults => faults.to_vec(),
    };
    let mut not_done = Vec::new();
    if kinds.contains(&Fault::OutputDiskFull)
        && let Err(error) = system.mount_output_disk().await
    {
        kinds.retain(|kind| *kind != Fault::OutputDiskFull);
        not_done.push(format!("{}: {error:#}", Fault::OutputDiskFull));
        tell(format!("NOT DONE: {}: {error:#}", Fault::OutputDiskFull));
    }
    let ledger = Ledger::default();
    let following = ledger.clone();
    let following = tokio::spawn({
        let path = system.ledger();
        async move { following.follow(path).await }
    });
    let submitting = CancellationToken::new();
    let publishing = CancellationToken::new();
    let load = Load::new(
        config.seed,
        system.api_urls(),
        &system.producer,
        publishing.clone(),
    )?;
    let rate = tokio::spawn({
        let (load, rate, submitting) = (load.clone(), config.rate, submitting.clone());
        async move { load.run(rate, submitting).await }
    });
    let began = Instant::now();
    while ledger.len() < 100 {
        if began.elapsed() > READY {
            bail!(
                "nothing runs: the logs in {} may say why",
                system.folder.display()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let began = Instant::now();
    let mut schedule = Schedule::new(StdRng::seed_from_u64(config.seed), kinds);
    let mut recoveries = Recoveries::default();
    let mut violations = Vec::new();
    while began.elapsed() < config.duration && !stop.is_cancelled() {
        let fault = schedule.next();
        let mut harm = Harm {
            system,
            load: &load,
            ledger: &ledger,
            schedule: &mut schedule,
        };
        let recovered = harm
            .run(fault)
            .await
            .with_context(|| format!("{fault} ({})", fault.does()));
        let at = began.elapsed().as_secs();
        match recovered {
            Ok(recovered) => {
                let millis = u64::try_from(recovered.as_millis()).unwrap_or(u64::MAX);
                recoveries.add(fault, millis);
                tell(format!(
                    "{at:>4} s  {fault:<20} works again after {millis} ms"
                ));
            }
            Err(error) => {
                tell(format!("{at:>4} s  {fault:<20} {error:#}"));
                violations.push(format!("{error:#}"));
                harm.heal().await?;
            }
        }
        for process in system.processes() {
            if let Some(status) = process.ended_by_itself() {
                violations.push(format!("{} ended by itself with {status}", process.name()));
                process.start()?;
            }
        }
    }
    let lasted = began.elapsed();
    submitting.cancel();
    rate.await?;
    tell("no more harm; waiting until all is quiet …".to_owned());
    violations.extend(until_quiet(system, &load).await);
    publishing.cancel();
    // What was written before now is read by then.
    tokio::time::sleep(Duration::from_millis(200)).await;
    following.abort();

    let (submitted, runs) = (load.submitted(), ledger.runs());
    let outcome = verify(&Evidence {
        seed: config.seed,
        submitted: &submitted,
        runs: &runs,
        run_ends: &ledger.ends(),
        ends: &witness::ends(&system.pool).await?,
        live: &witness::live(&system.pool).await?,
        superseded: &witness::superseded(&system.pool).await?,
    });
    violations.extend(outcome.violations.clone());
    violations.extend(load.wrong_answers().into_iter().take(5));
    violations.extend(ledger.unread().into_iter().take(5));
    match witness::wrong_counts(&system.pool).await? {
        0 => {}
        wrong => violations.push(format!("the counts that are shown are off by {wrong}")),
    }
    let counters = &load.counters;
    Ok(Report {
        seed: config.seed,
        seconds: lasted.as_secs_f64(),
        rate: submitted.len() as f64 / lasted.as_secs_f64(),
        outcome,
        tried_again: counters.tried_again.load(Ordering::Relaxed),
        unavailable: counters.unavailable.load(Ordering::Relaxed),
        replayed: counters.replayed.load(Ordering::Relaxed),
        republished: counters.republished.load(Ordering::Relaxed),
        stale_results: 0,
        recoveries: report::recoveries(&recoveries),
        not_done,
        violations,
    })
}

/// Waits until everything that was accepted has ended, or for as long as that may take.
async fn until_quiet(system: &System, load: &Load) -> Option<String> {
    let quiet = async {
        load.settled().await;
        loop {
            match witness::live(&system.pool).await {
                Ok(live) if live.is_empty() => return,
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    };
    match tokio::time::timeout(QUIET, quiet).await {
        Ok(()) => None,
        Err(_) => Some(format!(
            "not everything had ended {QUIET:?} after the last harm"
        )),
    }
}

/// Processes that commands left, after everything was stopped.
async fn left_behind(cookie: &str) -> Option<String> {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let left = with_cookie(cookie);
        if left.is_empty() {
            return None;
        }
        if Instant::now() > deadline {
            return Some(format!(
                "{} processes were left behind: {left:?}",
                left.len()
            ));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The processes, other than this one, that were started with this cookie in their environment.
fn with_cookie(cookie: &str) -> Vec<u32> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let wanted = format!("{}={cookie}", system::COOKIE);
    processes
        .flatten()
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .filter(|pid: &u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == wanted.as_bytes())
        })
        .collect()
}

/// How often a worker found that what it had to report was not its own any more.
fn stale_results(system: &mut System) -> usize {
    system
        .processes()
        .map(|process| {
            let said = process.said_ever();
            ["stale result, dropped", "lost its lease"]
                .iter()
                .map(|words| said.matches(words).count())
                .sum::<usize>()
        })
        .sum()
}
