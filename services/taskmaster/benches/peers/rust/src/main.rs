//! `peers PEER drain COUNT|sustained SECONDS|latency COUNT`: one run of a queue system, on the Postgres of `DATABASE_URL`.
//! Prints one line of JSON. What is measured, and why so: `../../bench/peers.rs`.

mod apalis;
mod awa;
mod ledger;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use ledger::Ledger;

const BATCH: u32 = 1000;
const PRODUCERS: usize = 2;
const BACKLOG: u32 = 20_000;
const WARM_UP: Duration = Duration::from_secs(3);
const WARM_UP_JOBS: u32 = 50;
const DEADLINE: Duration = Duration::from_secs(300);

/// A queue system.
trait Queue: Send + Sync + 'static {
    fn add_many(&self, jobs: Range<u32>) -> impl Future<Output = Result<()>> + Send;
    fn add(&self, job: u32) -> impl Future<Output = Result<()>> + Send;
    fn analyze(&self) -> impl Future<Output = Result<()>> + Send;
    /// Starts its workers, which run until the process ends.
    fn start(&self, mode: Mode, ledger: Arc<Ledger>) -> impl Future<Output = Result<()>> + Send;
    /// How many jobs it has recorded as done.
    fn done(&self) -> impl Future<Output = Result<i64>> + Send;
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Drain,
    Sustained,
    Latency,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, peer, mode, argument] = arguments.as_slice() else {
        bail!("peers PEER MODE ARGUMENT");
    };
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL")?;
    let mode = match mode.as_str() {
        "drain" => Mode::Drain,
        "sustained" => Mode::Sustained,
        "latency" => Mode::Latency,
        _ => bail!("no mode {mode}"),
    };
    let argument = argument.parse()?;
    let answer = match peer.as_str() {
        "apalis" => measure(apalis::Apalis::connect(&url).await?, mode, argument).await?,
        "awa" => measure(awa::Awa::connect(&url).await?, mode, argument).await?,
        _ => bail!("no peer {peer}"),
    };
    println!("{answer}");
    // Without waiting for workers.
    std::process::exit(0)
}

async fn measure(queue: impl Queue, mode: Mode, argument: u32) -> Result<Value> {
    let ledger = Arc::new(Ledger::new());
    let queue = Arc::new(queue);
    let mut answer = match mode {
        Mode::Drain => drain(&*queue, &ledger, argument).await?,
        Mode::Sustained => sustained(&queue, &ledger, argument).await?,
        Mode::Latency => latency(&*queue, &ledger, argument).await?,
    };
    answer["ran"] = ledger.ran().into();
    answer["distinct"] = ledger.distinct().into();
    Ok(answer)
}

/// Until so many jobs were run and all of them are recorded as done; when that was.
async fn until_done(queue: &impl Queue, ledger: &Ledger, submitted: u32) -> Result<Instant> {
    let began = Instant::now();
    while ledger.ran() < submitted || queue.done().await? < i64::from(submitted) {
        ensure!(
            began.elapsed() < DEADLINE,
            "{} of {submitted} jobs ran",
            ledger.ran()
        );
        sleep(Duration::from_millis(2)).await;
    }
    let done = Instant::now();
    // Time for a job that should not run again to do so.
    sleep(Duration::from_millis(300)).await;
    Ok(done)
}

async fn drain(queue: &impl Queue, ledger: &Arc<Ledger>, count: u32) -> Result<Value> {
    let mut added = 0;
    while added < count {
        let end = count.min(added + BATCH);
        queue.add_many(added..end).await?;
        added = end;
    }
    queue.analyze().await?;
    queue.start(Mode::Drain, ledger.clone()).await?;
    let took = until_done(queue, ledger, count).await? - ledger.first_at();
    Ok(json!({"submitted": count, "rate": f64::from(count - 1) / took.as_secs_f64()}))
}

async fn sustained<Q: Queue>(queue: &Arc<Q>, ledger: &Arc<Ledger>, seconds: u32) -> Result<Value> {
    queue.start(Mode::Sustained, ledger.clone()).await?;
    let (taken, submitted) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let stopped = Arc::new(AtomicBool::new(false));
    let mut producers = JoinSet::new();
    for _ in 0..PRODUCERS {
        let (queue, ledger) = (queue.clone(), ledger.clone());
        let (taken, submitted) = (taken.clone(), submitted.clone());
        let stopped = stopped.clone();
        producers.spawn(async move {
            while !stopped.load(Relaxed) {
                if submitted.load(Relaxed).saturating_sub(ledger.ran()) > BACKLOG {
                    sleep(Duration::from_millis(5)).await;
                    continue;
                }
                let from = taken.fetch_add(BATCH, Relaxed);
                queue.add_many(from..from + BATCH).await?;
                submitted.fetch_add(BATCH, Relaxed);
            }
            anyhow::Ok(())
        });
    }
    sleep(WARM_UP).await;
    let (since, before) = (Instant::now(), ledger.ran());
    sleep(Duration::from_secs(seconds.into())).await;
    let rate = f64::from(ledger.ran() - before) / since.elapsed().as_secs_f64();
    stopped.store(true, Relaxed);
    while let Some(ended) = producers.join_next().await {
        ended??;
    }
    let submitted = submitted.load(Relaxed);
    until_done(&**queue, ledger, submitted).await?;
    Ok(json!({"submitted": submitted, "rate": rate}))
}

async fn latency(queue: &impl Queue, ledger: &Arc<Ledger>, count: u32) -> Result<Value> {
    queue.start(Mode::Latency, ledger.clone()).await?;
    // Until they listen.
    sleep(Duration::from_secs(1)).await;
    let submitted = WARM_UP_JOBS + count;
    let mut calls = Vec::new();
    for job in 0..submitted {
        calls.push((job, Instant::now()));
        queue.add(job).await?;
        sleep(Duration::from_micros(17_300)).await;
    }
    until_done(queue, ledger, submitted).await?;
    let milliseconds: Vec<f64> = calls[WARM_UP_JOBS as usize..]
        .iter()
        .map(|&(job, called)| (ledger.start_of(job) - called).as_secs_f64() * 1000.0)
        .collect();
    Ok(json!({"submitted": submitted, "milliseconds": milliseconds}))
}
