//! What idempotency keys cost: lots of 500 tasks, stored without keys, under a key for each, and under one for all.
//!
//! On the Postgres of `TASKMASTER_TEST_DATABASE_URL`, one connection, each lot committed. The three take turns, so that
//! whatever else the machine does hits them alike. Fingerprints are made while the clock runs, as services do.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::{Duration, Instant};

use taskmaster_core::{ExecutorKind, Fingerprint, NewTask, When};
use taskmaster_store::keys::{Keyed, Scope};
use taskmaster_store::submit::{Batch, submit_keyed};
use taskmaster_testkit::TestDatabase;
use uuid::Uuid;

const LOT: usize = 500;
const ROUNDS: usize = 200;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let database = TestDatabase::create().await?;
    let mut taken = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for (messages, taken) in [0, LOT, 1].into_iter().zip(&mut taken) {
            taken.push(store(&database, messages).await?);
        }
    }
    println!("| keys in a lot of {LOT} tasks | tasks/s | ratio |");
    println!("|---|---|---|");
    let rates = taken.map(|mut taken| {
        taken.sort();
        LOT as f64 / taken[ROUNDS / 2].as_secs_f64()
    });
    for (name, rate) in ["none", "one for each", "one for all"].iter().zip(rates) {
        println!("| {name} | {rate:.0} | {:.2} |", rate / rates[0]);
    }
    Ok(())
}

/// Stores a lot that came in `messages` messages with a key, or without one if that is 0; returns how long it took.
async fn store(database: &TestDatabase, messages: usize) -> Result<Duration> {
    let tasks: Vec<NewTask> = (0..LOT).map(task).collect();
    let size = LOT.checked_div(messages).unwrap_or(LOT);
    let begin = Instant::now();
    let mut keyed = Vec::with_capacity(messages);
    for start in (0..messages).map(|message| message * size) {
        keyed.push(Keyed {
            key: Uuid::now_v7().to_string().parse()?,
            fingerprint: Fingerprint::of(&tasks[start..start + size]),
            tasks: start..start + size,
        });
    }
    let batch = Batch {
        tasks: &tasks,
        keyed: &keyed,
        scope: Scope::Amqp,
    };
    let submitted = submit_keyed(database.pool(), batch).await?;
    let taken = begin.elapsed();
    assert_eq!(submitted.accepted.len(), LOT);
    Ok(taken)
}

fn task(number: usize) -> NewTask {
    NewTask {
        id: Uuid::now_v7(),
        command: format!("process-data --input {number}.csv"),
        argv: None,
        when: When::Now,
        priority: 0,
        timeout_seconds: Some(600),
        max_attempts: 3,
        env: None,
        stdin: None,
        executor: ExecutorKind::Process,
        simulate: None,
    }
}
