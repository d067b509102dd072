//! What the facts about the server and the schema mean.

use taskmaster_store::inspect::{OpenTransaction, Schema, Server};
use taskmaster_store::partitions::Gaps;

use super::finding::Verdict;
use crate::output::count;

/// The oldest version that has all that is used: `idle_session_timeout`, by which a coordinator that hangs loses the lead.
const OLDEST: i32 = 140_000;

/// Above this share of its connections the server will soon refuse some.
const CROWDED_PERCENT: i64 = 90;

pub(super) fn version(server: &Server) -> Verdict {
    let version = &server.version;
    if server.version_number >= OLDEST {
        return Verdict::ok(format!("PostgreSQL {version}"));
    }
    Verdict::problem(
        format!("PostgreSQL {version} is too old"),
        "upgrade it to 14 or newer: before, a coordinator that hangs would keep the lead",
    )
}

pub(super) fn writable(server: &Server) -> Verdict {
    if !server.read_only {
        return Verdict::ok("takes writes");
    }
    Verdict::problem(
        "takes no writes: it is a replica, or was made read-only",
        "give DATABASE_URL the address of the primary, or set default_transaction_read_only to off",
    )
}

pub(super) fn durability(server: &Server) -> Verdict {
    let mut off = Vec::new();
    if !server.fsync {
        off.push("fsync = off");
    }
    if server.synchronous_commit == "off" {
        off.push("synchronous_commit = off");
    }
    if off.is_empty() {
        return Verdict::ok("what is committed is on disk");
    }
    Verdict::warning(
        format!(
            "{}: what was accepted may be lost when Postgres or its machine dies",
            off.join(", ")
        ),
        "set them to on, unless the tasks may be lost",
    )
}

pub(super) fn connections(server: &Server) -> Verdict {
    let (used, limit) = (server.connections, server.connection_limit);
    let found = format!("{used} of {limit} in use");
    if used * 100 <= limit * CROWDED_PERCENT {
        return Verdict::ok(found);
    }
    Verdict::warning(
        format!("{found}: new ones are soon refused"),
        "raise max_connections, or lower --database-connections of the services",
    )
}

pub(super) fn transactions(server: &Server, open: &[OpenTransaction], minutes: u64) -> Verdict {
    let Some(oldest) = open.first() else {
        let seen = if server.sees_others {
            "none"
        } else {
            // Without pg_read_all_stats.
            "none of this user's (those of others are hidden from it)"
        };
        return Verdict::ok(format!("{seen} is open for more than {minutes} minutes"));
    };
    let OpenTransaction {
        pid,
        application,
        seconds,
    } = oldest;
    let of = if application.is_empty() {
        format!("process {pid}")
    } else {
        format!("process {pid}, {application:?}")
    };
    Verdict::warning(
        format!(
            "{} open for more than {minutes} minutes, the oldest ({of}) for {}: vacuum and old partitions wait for it",
            count(open.len(), "transaction"),
            duration(*seconds)
        ),
        format!("if nobody needs it, end it: select pg_terminate_backend({pid})"),
    )
}

pub(super) fn migrations(schema: &Schema) -> Verdict {
    if let Some(version) = schema.unfinished {
        return Verdict::problem(
            format!("migration {version} was begun and not brought to its end"),
            "finish or undo it by hand, and correct its row in _sqlx_migrations",
        );
    }
    if !schema.unknown.is_empty() {
        return Verdict::problem(
            format!(
                "the schema is newer than this program: {}",
                list("migration", &schema.unknown)
            ),
            "use a taskmaster that is at least as new as the one that brought the schema up to date",
        );
    }
    if !schema.changed.is_empty() {
        return Verdict::problem(
            format!(
                "the schema was made by another build: {} differ in content",
                list("migration", &schema.changed)
            ),
            "use the build that made it; no released migration ever changes",
        );
    }
    if !schema.pending.is_empty() {
        return Verdict::problem(
            format!("{} not applied", list("migration", &schema.pending)),
            "run `taskmaster migrate` or start a coordinator, which does the same",
        )
        .repairable();
    }
    Verdict::ok("all are applied")
}

pub(super) fn partitions(gaps: &Gaps, days_ahead: i32) -> Verdict {
    let mut wrong = Vec::new();
    if let [first, rest @ ..] = gaps.missing.as_slice() {
        wrong.push(match rest.len() {
            0 => format!("{first} is missing"),
            more => format!("{first} and {more} more are missing"),
        });
    }
    if gaps.in_default > 0 {
        wrong.push(format!(
            "{} in the default partitions, which are never dropped",
            count(
                usize::try_from(gaps.in_default).unwrap_or(usize::MAX),
                "row"
            )
        ));
    }
    if wrong.is_empty() {
        return Verdict::ok(format!("made for today and {days_ahead} days ahead"));
    }
    Verdict::problem(
        wrong.join("; "),
        "the coordinator that leads makes them every ten minutes: read its log. A table of such a name that is no \
         partition has to be dropped or renamed first",
    )
    .repairable()
}

/// `migration 1`, `migrations 1, 2`.
fn list(noun: &str, versions: &[i64]) -> String {
    let numbers: Vec<String> = versions.iter().map(ToString::to_string).collect();
    let plural = if numbers.len() == 1 { "" } else { "s" };
    format!("{noun}{plural} {}", numbers.join(", "))
}

/// `40s`, `7m`, `3h`: so long that something waits.
pub(super) fn duration(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        _ => format!("{}h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Status;
    use super::*;

    fn good() -> Server {
        Server {
            version: "15.4".to_owned(),
            version_number: 150_004,
            read_only: false,
            synchronous_commit: "on".to_owned(),
            fsync: true,
            connections: 20,
            connection_limit: 97,
            sees_others: true,
        }
    }

    #[test]
    fn a_good_server() {
        for judge in [version, writable, durability, connections] {
            let verdict = judge(&good());
            assert_eq!(verdict.status, Status::Ok, "{verdict:?}");
        }
    }

    #[test]
    fn a_server_that_is_too_old_or_read_only() {
        let old = Server {
            version: "13.22".to_owned(),
            version_number: 130_022,
            read_only: true,
            ..good()
        };
        let verdict = version(&old);
        assert!(verdict.is_problem() && verdict.found.contains("13.22"));
        assert!(writable(&old).is_problem());
    }

    #[test]
    fn settings_that_lose_commits_are_named() {
        for (fsync, synchronous_commit, named) in [
            (false, "on", vec!["fsync"]),
            (true, "off", vec!["synchronous_commit"]),
            (false, "off", vec!["fsync", "synchronous_commit"]),
        ] {
            let verdict = durability(&Server {
                fsync,
                synchronous_commit: synchronous_commit.to_owned(),
                ..good()
            });
            assert_eq!(verdict.status, Status::Warning);
            for name in named {
                assert!(verdict.found.contains(name), "{verdict:?}");
            }
        }
        // On this machine's disk is enough; a replica is a matter of the user's.
        let local = Server {
            synchronous_commit: "local".to_owned(),
            ..good()
        };
        assert_eq!(durability(&local).status, Status::Ok);
    }

    #[test]
    fn few_connections_are_left() {
        let with = |connections| {
            connections_of(Server {
                connections,
                connection_limit: 100,
                ..good()
            })
        };
        assert_eq!(with(90), Status::Ok);
        assert_eq!(with(91), Status::Warning);
    }

    fn connections_of(server: Server) -> Status {
        connections(&server).status
    }

    #[test]
    fn the_oldest_transaction_is_told() {
        assert_eq!(transactions(&good(), &[], 5).status, Status::Ok);
        let blind = Server {
            sees_others: false,
            ..good()
        };
        assert!(transactions(&blind, &[], 5).found.contains("hidden"));
        let open = [(4711, "pg_dump", 7300), (4712, "", 400)].map(|(pid, name, seconds)| {
            OpenTransaction {
                pid,
                application: name.to_owned(),
                seconds,
            }
        });
        let verdict = transactions(&good(), &open, 5);
        assert_eq!(verdict.status, Status::Warning);
        assert!(verdict.found.contains("pg_dump") && verdict.found.contains("2h"));
        assert!(verdict.advice.unwrap().contains("(4711)"));
    }

    #[test]
    fn only_a_schema_that_lacks_something_is_repairable() {
        assert_eq!(migrations(&Schema::default()).status, Status::Ok);
        let pending = Schema {
            pending: vec![1, 2],
            ..Schema::default()
        };
        let verdict = migrations(&pending);
        assert!(verdict.is_problem() && verdict.repairable);
        assert!(verdict.found.contains("migrations 1, 2"), "{verdict:?}");
        for (schema, told) in [
            (
                Schema {
                    unknown: vec![9],
                    ..pending.clone()
                },
                "newer",
            ),
            (
                Schema {
                    changed: vec![1],
                    ..pending.clone()
                },
                "content",
            ),
            (
                Schema {
                    unfinished: Some(2),
                    ..pending.clone()
                },
                "begun",
            ),
        ] {
            let verdict = migrations(&schema);
            assert!(verdict.is_problem() && !verdict.repairable, "{verdict:?}");
            assert!(verdict.found.contains(told), "{verdict:?}");
        }
    }

    #[test]
    fn partitions_that_are_missing_or_were() {
        assert_eq!(partitions(&Gaps::default(), 14).status, Status::Ok);
        let gaps = Gaps {
            missing: vec!["a_1".to_owned(), "a_2".to_owned()],
            in_default: 3,
        };
        let verdict = partitions(&gaps, 14);
        assert!(verdict.is_problem() && verdict.repairable);
        assert!(verdict.found.contains("a_1 and 1 more"), "{verdict:?}");
        assert!(verdict.found.contains("3 rows"), "{verdict:?}");
    }

    #[test]
    fn a_length_is_told_coarsely() {
        let told = [61, 150, 8000].map(duration);
        assert_eq!(told, ["61s", "2m", "2h"]);
    }
}
