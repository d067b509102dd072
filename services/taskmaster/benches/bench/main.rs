//! The benchmark of the product: `cargo xtask bench`.
//!
//! The optimised executable as users run it: a coordinator, an API and workers, on a Postgres (fsync on) and a RabbitMQ of
//! the benchmark's own, started as `taskmaster up` starts them, with nothing tuned beyond that. Everything is on one
//! machine, this program too. Each figure is the median of several runs, with its spread, and each throughput is also
//! given as a share of what the same lives cost as SQL alone, measured in the same run.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

mod bar;
mod chart;
mod figures;
mod history;
mod hostile;
mod latency;
mod light;
mod limit;
mod peers;
mod processes;
mod size;
mod submit;
mod system;
mod tasks;
mod throughput;
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

use figures::Report;
use system::System;

/// How large and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) runs: usize,
    pub(crate) limit_seconds: u64,
    pub(crate) drain: u32,
    pub(crate) sustained_seconds: u64,
    pub(crate) submit_seconds: u64,
    pub(crate) latency: u32,
    pub(crate) paced_seconds: u64,
    pub(crate) processes: u32,
    pub(crate) idle_seconds: u64,
    pub(crate) finished: i64,
    pub(crate) future: i64,
    pub(crate) peers_drain: u32,
    pub(crate) peers_sustained_seconds: u64,
    pub(crate) peers_latency: u32,
}

const FULL: Scale = Scale {
    runs: 3,
    limit_seconds: 10,
    drain: 200_000,
    sustained_seconds: 60,
    submit_seconds: 5,
    latency: 1000,
    paced_seconds: 20,
    processes: 20_000,
    idle_seconds: 30,
    finished: 10_000_000,
    future: 1_000_000,
    peers_drain: 200_000,
    peers_sustained_seconds: 60,
    peers_latency: 300,
};

const QUICK: Scale = Scale {
    runs: 3,
    limit_seconds: 2,
    drain: 60_000,
    sustained_seconds: 8,
    submit_seconds: 1,
    latency: 200,
    paced_seconds: 4,
    processes: 3_000,
    idle_seconds: 10,
    finished: 200_000,
    future: 100_000,
    peers_drain: 10_000,
    peers_sustained_seconds: 5,
    peers_latency: 100,
};

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Lives as SQL alone; for work on the statements, and not a part of the whole.
    Limit,
    /// Lives as SQL alone, and the product's throughput.
    Throughput,
    /// Taking tasks in.
    Submit,
    /// From the call to the start.
    Latency,
    /// Real commands.
    Processes,
    /// What it needs while nothing happens.
    Idle,
    /// Under a transaction that is held open, long readers, and more work than it can do.
    Hostile,
    /// With a long history.
    Size,
    /// With many workers.
    Workers,
}

/// Measure TaskMaster on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Arguments {
    /// Smaller and shorter: within five minutes
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Measure other queue systems too, and nothing else unless `--only` names it; they are installed from their registries
    /// first, with npm, cargo and pip
    #[arg(long)]
    peers: bool,
    /// Install them in this folder, and keep it for the next time
    #[arg(long, value_name = "DIR", requires = "peers")]
    peers_dir: Option<PathBuf>,
    /// Write what was measured to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw the throughputs into this file, as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Fail if a figure misses the bar, and name it
    #[arg(long)]
    check: bool,
    /// Postgres's `bin` folder; unless told, it is looked for
    #[arg(long, value_name = "DIR")]
    postgres: Option<PathBuf>,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let scale = if arguments.quick { QUICK } else { FULL };
    let all = arguments.only.is_empty() && !arguments.peers;
    let wanted = |part| all || arguments.only.contains(&part);
    let mut report = Report::default();
    let bin = arguments.postgres.as_deref();
    if arguments.only.contains(&Part::Limit) {
        System::run(bin, async |system| {
            limit::measure(system, scale, &mut report).await
        })
        .await
        .context("limit")?;
    }
    if wanted(Part::Throughput) {
        System::run(bin, async |system| {
            throughput::measure(system, scale, &mut report).await
        })
        .await
        .context("throughput")?;
    }
    if wanted(Part::Submit) {
        System::run(bin, async |system| {
            submit::measure(system, scale, &mut report).await
        })
        .await
        .context("submit")?;
    }
    if wanted(Part::Latency) {
        System::run(bin, async |system| {
            latency::measure(system, scale, &mut report).await
        })
        .await
        .context("latency")?;
    }
    if wanted(Part::Processes) {
        System::run(bin, async |system| {
            processes::measure(system, scale, &mut report).await
        })
        .await
        .context("processes")?;
    }
    if wanted(Part::Idle) {
        System::run(bin, async |system| {
            usage::measure_idle(system, scale, &mut report).await
        })
        .await
        .context("idle")?;
    }
    if wanted(Part::Hostile) && !(arguments.quick && all) {
        System::run(bin, async |system| {
            hostile::measure(system, scale, &mut report).await
        })
        .await
        .context("hostile")?;
    }
    if wanted(Part::Size) && !(arguments.quick && all) {
        System::run(bin, async |system| {
            size::measure(system, scale, &mut report).await
        })
        .await
        .context("size")?;
    }
    if wanted(Part::Workers) && !(arguments.quick && all) {
        System::run(bin, async |system| {
            light::measure(system, scale, &mut report).await
        })
        .await
        .context("workers")?;
    }
    if arguments.peers {
        peers::measure(bin, arguments.peers_dir.as_deref(), scale, &mut report)
            .await
            .context("peers")?;
    }
    println!("\n{}", report.table());
    let verdicts = bar::judge(&report);
    println!("{}", bar::table(&verdicts));
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(file) = &arguments.svg {
        let picture = chart::svg(&report).context("no throughput was measured: nothing to draw")?;
        std::fs::write(file, picture)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let missed: Vec<&str> = verdicts
        .iter()
        .filter(|verdict| !verdict.is_met())
        .map(|verdict| verdict.row)
        .collect();
    if arguments.check && !missed.is_empty() {
        println!("missed: {}", missed.join("; "));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
