//! What it needs: memory and time of the processes, and what a task costs Postgres.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use taskmaster_testkit::{Process, sqlx};

use crate::Scale;
use crate::figures::Report;
use crate::system::{System, USUAL_SLOTS};

/// The services, of which there are figures by themselves.
const SERVICES: [&str; 3] = ["coordinator", "API", "worker"];
/// All that takes a processor's time, in the order in which it is shown.
const EVERYBODY: [&str; 6] = [
    "coordinator",
    "API",
    "worker",
    "Postgres",
    "RabbitMQ",
    "this program",
];

/// The processes of a system.
pub(crate) struct Usage {
    processes: Vec<(&'static str, u32)>,
}

impl Usage {
    pub(crate) fn of(system: &System<'_>, workers: &[Process]) -> Result<Self> {
        let services = system.stack.services.iter();
        let named = ["coordinator", "API"].into_iter().zip(services);
        let workers = workers.iter().map(|worker| ("worker", worker));
        let mut processes = named
            .chain(workers)
            .map(|(name, process)| Ok((name, process.pid().context("it has ended")?)))
            .collect::<Result<Vec<_>>>()?;
        let servers = system.stack.servers.as_ref().context("no servers")?;
        let (postgres, rabbitmq) = (servers.postgres.pid(), servers.rabbitmq.pid());
        processes.push(("Postgres", postgres.context("no Postgres")?));
        processes.push(("RabbitMQ", rabbitmq.context("no RabbitMQ")?));
        processes.push(("this program", std::process::id()));
        Ok(Self { processes })
    }

    /// The most memory that each kind of service ever had, in MiB.
    pub(crate) fn report_peaks(&self, report: &mut Report) -> Result<()> {
        for kind in SERVICES {
            let peaks = self.processes.iter().filter(|(name, _)| *name == kind);
            let peaks = peaks.map(|(_, pid)| peak_mib(*pid));
            report.add(
                format!("memory at its peak: {kind}"),
                "MiB",
                peaks.collect::<Result<_>>()?,
            );
        }
        Ok(())
    }

    /// Seconds of a processor's time that the services have used so far.
    fn services_seconds(&self) -> Result<f64> {
        let services = self.processes.iter();
        let services = services.filter(|(name, _)| SERVICES.contains(name));
        services.map(|(_, pid)| Ok(times(*pid)?.0)).sum()
    }

    /// The same of each kind in [`EVERYBODY`], a server with all the processes that it has just now.
    pub(crate) fn seconds(&self) -> Result<[f64; EVERYBODY.len()]> {
        let children = children();
        let tree = |name: &str, pid: u32| match name {
            "Postgres" | "RabbitMQ" => {
                let own = times(pid)?.0;
                let of = children.iter().filter(|(_, parent)| *parent == pid);
                // One may end in between.
                Ok(of
                    .map(|(pid, _)| times(*pid).map_or(0.0, |(seconds, _)| seconds))
                    .sum::<f64>()
                    + own)
            }
            _ => times(pid).map(|(seconds, _)| seconds),
        };
        let mut seconds = [0.0; EVERYBODY.len()];
        for (kind, sum) in EVERYBODY.iter().zip(&mut seconds) {
            for (name, pid) in &self.processes {
                if name == kind {
                    *sum += tree(name, *pid)?;
                }
            }
        }
        Ok(seconds)
    }

    /// Where the time goes: milliseconds of a processor's time for each thousand tasks, of runs of so many each.
    pub(crate) fn report_seconds(runs: &[([f64; EVERYBODY.len()], f64)], report: &mut Report) {
        for (index, kind) in EVERYBODY.iter().enumerate() {
            let runs = runs.iter();
            report.add(
                format!("sustained: processor's time per 1,000 tasks: {kind}"),
                "ms",
                runs.map(|(seconds, tasks)| 1e6 * seconds[index] / tasks)
                    .collect(),
            );
        }
    }
}

/// Every process with its parent.
fn children() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, times(pid).ok()?.1)))
        .collect()
}

fn peak_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .context("no VmHWM")?;
    Ok(peak.parse::<f64>()? / 1024.0)
}

/// Seconds of a processor's time, and the parent.
fn times(pid: u32) -> Result<(f64, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("no name")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |index: usize| fields.get(index).context("too few fields");
    // utime and stime, the 14th and 15th field of all, in hundredths of a second.
    let ticks = |index: usize| field(index)?.parse::<f64>().context("no number");
    Ok(((ticks(11)? + ticks(12)?) / 100.0, field(1)?.parse()?))
}

/// How much of one processor a coordinator, an API and ten workers use while nothing happens.
pub(crate) async fn measure_idle(
    system: &mut System<'_>,
    scale: Scale,
    report: &mut Report,
) -> Result<()> {
    let workers = system.workers(10, USUAL_SLOTS).await?;
    let usage = Usage::of(system, &workers)?;
    let mut runs = Vec::new();
    // What a start costs is not idling.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for _ in 0..scale.runs {
        let (began, before) = (Instant::now(), usage.services_seconds()?);
        tokio::time::sleep(Duration::from_secs(scale.idle_seconds)).await;
        let used = usage.services_seconds()? - before;
        runs.push(100.0 * used / began.elapsed().as_secs_f64());
    }
    report.add("idle: coordinator, API and 10 workers", "% of a core", runs);
    Ok(())
}

/// What Postgres has done so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    ended: i64,
    commits: i64,
    wal_bytes: f64,
    dead: i64,
}

impl Cost {
    pub(crate) async fn of(system: &System<'_>) -> Result<Self> {
        let (ended, _) = system.ended().await?;
        let (commits, wal_bytes, dead) = sqlx::query_as(
            "select xact_commit, (pg_current_wal_lsn() - '0/0')::float8,
                (select sum(n_tup_upd + n_tup_del)::bigint from pg_stat_user_tables)
             from pg_stat_database where datname = current_database()",
        )
        .fetch_one(&system.pool)
        .await?;
        Ok(Self {
            ended,
            commits,
            wal_bytes,
            dead,
        })
    }

    /// How many tasks ended since.
    pub(crate) fn tasks_since(self, before: Self) -> f64 {
        (self.ended - before.ended) as f64
    }

    /// Per task that ended since: commits, bytes of WAL, dead tuples.
    pub(crate) fn since(self, before: Self) -> Result<[f64; 3]> {
        let tasks = self.tasks_since(before);
        Ok([
            (self.commits - before.commits) as f64 / tasks,
            (self.wal_bytes - before.wal_bytes) / tasks,
            (self.dead - before.dead) as f64 / tasks,
        ])
    }

    pub(crate) fn report(costs: &[[f64; 3]], report: &mut Report) {
        for (index, (name, unit)) in [
            ("sustained: commits per task", "commits"),
            ("sustained: WAL per task", "bytes"),
            ("sustained: dead tuples per task", "tuples"),
        ]
        .into_iter()
        .enumerate()
        {
            report.add(name, unit, costs.iter().map(|cost| cost[index]).collect());
        }
    }
}
