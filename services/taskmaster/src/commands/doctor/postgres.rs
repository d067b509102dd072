//! Asks Postgres, repairs what may be repaired there, and asks again.

use std::time::{Duration, Instant};

use taskmaster_store::inspect::{self, Backlog};
use taskmaster_store::{Error, PgPool, StoreConfig, leadership, partitions};
use tokio::time::{sleep, timeout};

use super::MOMENT;
use super::finding::{Area, Finding, Findings, Verdict};
use super::fleet::Fleet;
use super::server;
use crate::failure::line;

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(5);

/// How long a transaction may be open.
const OPEN_MINUTES: u64 = 5;

/// How long a task may be due, assigned or past its time limit.
const LATE: Duration = Duration::from_secs(60);

/// So many days are made at all times: the cleaner makes one more, within ten minutes of midnight.
const DAYS_AHEAD: i32 = partitions::DAYS_AHEAD - 1;

/// The check that the others of the fleet come after.
pub(super) const LEADER: &str = "leader";

/// Every check, in the order in which they are shown.
const CHECKS: [&str; 14] = [
    "reachable",
    "version",
    "writable",
    "durability",
    "connections",
    "transactions",
    "migrations",
    "partitions",
    LEADER,
    "workers",
    "waiting",
    "time-limits",
    "assignments",
    "lost-workers",
];

/// What Postgres knows and RabbitMQ is compared with.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Whether a coordinator leads, or nothing when it cannot be known.
    pub(super) led: Option<bool>,
    /// The names of the workers that are there, or nothing when they cannot be known.
    pub(super) workers: Option<Vec<String>>,
}

/// Makes every check of Postgres.
pub(super) async fn examine(config: &StoreConfig, repair: bool) -> (Vec<Finding>, Known) {
    let mut findings = Findings::new(Area::Postgres);
    let why = match reach(config).await {
        Ok((pool, answered)) => {
            findings.push("reachable", Verdict::ok(answered));
            let known = check(&pool, repair, &mut findings).await;
            // Not waited for: what did not answer does not answer a goodbye.
            drop(pool);
            match known {
                Ok(known) => return (findings.finish(&CHECKS, ""), known),
                Err(why) => why,
            }
        }
        Err(verdict) => {
            findings.push("reachable", verdict);
            "Postgres cannot be used"
        }
    };
    (findings.finish(&CHECKS, why), Known::default())
}

/// Connects as a service does, and tells how long it took.
async fn reach(config: &StoreConfig) -> Result<(PgPool, String), Verdict> {
    let begin = Instant::now();
    let advice = "check DATABASE_URL, and that Postgres runs there and takes this user";
    // On its own: a pool would try again for a while, and then say only that it did.
    let connected = timeout(LIMIT, config.connect()).await;
    let reason = match connected {
        Ok(Ok(connection)) => {
            drop(connection);
            let answered = format!("answered within {} ms", begin.elapsed().as_millis());
            match config.pool() {
                Ok(pool) => return Ok((pool, answered)),
                Err(error) => line(&error.into()),
            }
        }
        Ok(Err(error)) => line(&error.into()),
        Err(_) => format!("no answer within {} s", LIMIT.as_secs()),
    };
    Err(Verdict::problem(reason, advice))
}

/// Everything after the connection. What stands in the way of the rest is the error.
async fn check(
    pool: &PgPool,
    repair: bool,
    findings: &mut Findings,
) -> Result<Known, &'static str> {
    let no_answer = "Postgres did not answer";
    let seen = match ask(inspect::server(pool)).await {
        Ok(seen) => seen,
        Err(verdict) => {
            findings.push("version", verdict);
            return Err(no_answer);
        }
    };
    findings.push("version", server::version(&seen));
    findings.push("writable", server::writable(&seen));
    findings.push("durability", server::durability(&seen));
    findings.push("connections", server::connections(&seen));
    let age = Duration::from_secs(OPEN_MINUTES * 60);
    let open = ask(inspect::open_transactions(pool, age)).await;
    let transactions = open.map(|open| server::transactions(&seen, &open, OPEN_MINUTES));
    findings.push("transactions", either(transactions));

    let migrations = async || {
        either(
            ask(inspect::schema(pool))
                .await
                .map(|it| server::migrations(&it)),
        )
    };
    let mut verdict = migrations().await;
    if repair && verdict.repairable {
        let migrate = done(taskmaster_store::migrate(pool));
        verdict = verdict.mended(migrate, migrations()).await;
    }
    let complete = !verdict.is_problem();
    findings.push("migrations", verdict);
    if !complete {
        return Err("the schema is not the one that this program needs");
    }

    let gaps = async || {
        let gaps = ask(partitions::gaps(pool, DAYS_AHEAD)).await;
        either(gaps.map(|gaps| server::partitions(&gaps, DAYS_AHEAD)))
    };
    let mut verdict = gaps().await;
    if repair && verdict.repairable {
        let ensure = done(partitions::ensure(pool, partitions::DAYS_AHEAD));
        verdict = verdict.mended(ensure, gaps()).await;
    }
    findings.push("partitions", verdict);

    let fleet = match settled_fleet(pool).await {
        Ok(fleet) => fleet,
        Err(verdict) => {
            findings.push(LEADER, verdict);
            return Err(no_answer);
        }
    };
    for (check, verdict) in fleet.verdicts() {
        findings.push(check, verdict);
    }
    let names = fleet.present().map(|worker| worker.name.clone());
    Ok(Known {
        led: Some(fleet.led),
        workers: Some(names.collect()),
    })
}

/// The fleet as it is, looked at twice if anything seems wrong with it.
async fn settled_fleet(pool: &PgPool) -> Result<Fleet, Verdict> {
    let fleet = look(pool).await?;
    let mut verdicts = fleet.verdicts().into_iter();
    if !verdicts.any(|(_, verdict)| verdict.is_problem()) {
        return Ok(fleet);
    }
    sleep(MOMENT).await;
    let again = look(pool).await?;
    Ok(Fleet {
        moving: moved(&fleet.backlog, &again.backlog),
        ..again
    })
}

/// Whether what was to be claimed next has been.
fn moved(before: &Backlog, now: &Backlog) -> bool {
    before.next != now.next
}

async fn look(pool: &PgPool) -> Result<Fleet, Verdict> {
    Ok(Fleet {
        led: ask(leadership::is_led(pool)).await?,
        workers: ask(inspect::workers(pool, LATE)).await?,
        backlog: ask(inspect::backlog(pool, LATE)).await?,
        moving: false,
    })
}

/// The answer, or what to say when there is none.
async fn ask<T>(question: impl Future<Output = taskmaster_store::Result<T>>) -> Result<T, Verdict> {
    match timeout(LIMIT, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::NotMigrated)) => Err(Verdict::problem(
            "a table is missing, though its migration is applied",
            "restore the database from a backup, or give the services an empty one",
        )),
        Ok(Err(error)) => Err(Verdict::problem(line(&error.into()), "read Postgres's log")),
        Err(_) => Err(Verdict::problem(
            format!("no answer within {} s", LIMIT.as_secs()),
            "look for what holds it up: select * from pg_stat_activity where state <> 'idle'",
        )),
    }
}

async fn done<T>(repair: impl Future<Output = taskmaster_store::Result<T>>) -> Result<(), String> {
    let done = repair.await;
    done.map(drop).map_err(|error| line(&error.into()))
}

fn either(verdict: Result<Verdict, Verdict>) -> Verdict {
    verdict.unwrap_or_else(|verdict| verdict)
}
