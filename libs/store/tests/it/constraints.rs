//! The tables repeat the invariants: whatever writes there, a row that breaks one is refused, by the constraint's name.

use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;
use taskmaster_store::PgPool;

/// A row of each table that is as it should be: columns and values.
const GOOD: [(&str, &[(&str, &str)]); 10] = [
    ("tasks", &[("id", "gen_random_uuid()"), ("command", "'x'")]),
    (
        "finished_tasks",
        &[
            ("id", "gen_random_uuid()"),
            ("command", "'x'"),
            ("executor", "'process'"),
            ("priority", "0"),
            ("status", "'completed'"),
            ("outcome", "'completed'"),
            ("lease", "1"),
            ("attempt", "1"),
            ("max_attempts", "1"),
            ("created_at", "now()"),
            ("scheduled_at", "now()"),
            ("started_at", "now()"),
            ("finished_at", "now()"),
            ("exit_code", "0"),
        ],
    ),
    (
        "attempts",
        &[
            ("task_id", "gen_random_uuid()"),
            ("attempt", "1"),
            ("lease", "1"),
            ("scheduled_at", "now()"),
            ("started_at", "now()"),
            ("finished_at", "now()"),
            ("outcome", "'failed'"),
        ],
    ),
    (
        "output",
        &[
            ("task_id", "gen_random_uuid()"),
            ("lease", "1"),
            ("seq", "0"),
            ("attempt", "1"),
            ("stream", "'stdout'"),
            ("data", "'x'"),
        ],
    ),
    (
        "workers",
        &[
            ("name", "gen_random_uuid()::text"),
            ("incarnation", "gen_random_uuid()"),
            ("status", "'online'"),
            ("slots", "1"),
            ("claim_window", "1"),
            ("host", "'h'"),
            ("pid", "1"),
            ("version", "'1'"),
            ("heartbeat_timeout_seconds", "1"),
        ],
    ),
    (
        "finished_counts",
        &[
            ("day", "'2026-01-22'"),
            ("worker_id", "1"),
            ("status", "'failed'"),
            ("count", "1"),
        ],
    ),
    (
        "idempotency_keys",
        &[
            ("scope", "'http'"),
            ("key", "gen_random_uuid()::text"),
            ("fingerprint", "sha256('x')"),
            ("task_ids", "array[gen_random_uuid()]"),
        ],
    ),
    (
        "audit",
        &[
            ("id", "gen_random_uuid()"),
            ("caller", "'c'"),
            ("action", "'fleet.scale'"),
            ("fleet", "'docker'"),
            ("request", "'{}'"),
        ],
    ),
    ("autoscaler", &[("only_row", "true")]),
    (
        "autoscaler_decisions",
        &[
            ("from_workers", "1"),
            ("to_workers", "1"),
            ("kind", "'steady'"),
            ("reason", "'r'"),
            ("observation", "'{}'"),
            ("dry_run", "false"),
            ("applied", "false"),
        ],
    ),
];

/// What makes a good row break exactly this constraint.
const BAD: [(&str, &[(&str, &str)]); 64] = [
    ("tasks_command_check", &[("command", "''")]),
    ("tasks_executor_check", &[("executor", "'docker'")]),
    ("tasks_priority_check", &[("priority", "101")]),
    ("tasks_priority_check", &[("priority", "-101")]),
    ("tasks_timeout_seconds_check", &[("timeout_seconds", "0")]),
    (
        "tasks_status_check",
        &[
            ("status", "'completed'"),
            ("picked_at", "now()"),
            ("assigned_worker", "1"),
        ],
    ),
    ("tasks_lease_check", &[("lease", "-1")]),
    ("tasks_attempt_check", &[("attempt", "-1")]),
    ("tasks_max_attempts_check", &[("max_attempts", "0")]),
    ("tasks_attempts_within_limit", &[("attempt", "2")]),
    (
        "tasks_submitted_max_attempts_within_limit",
        &[("submitted_max_attempts", "0")],
    ),
    (
        "tasks_submitted_max_attempts_within_limit",
        &[("submitted_max_attempts", "2")],
    ),
    (
        "tasks_scheduled_is_held_by_nobody",
        &[("picked_at", "now()"), ("assigned_worker", "1")],
    ),
    (
        "tasks_scheduled_is_held_by_nobody",
        &[("assigned_worker", "1")],
    ),
    (
        "tasks_scheduled_is_held_by_nobody",
        &[("picked_at", "now()")],
    ),
    (
        "tasks_scheduled_is_held_by_nobody",
        &[("status", "'assigned'")],
    ),
    (
        "tasks_scheduled_is_held_by_nobody",
        &[("status", "'assigned'"), ("picked_at", "now()")],
    ),
    (
        "tasks_scheduled_is_held_by_nobody",
        &[("status", "'running'"), ("started_at", "now()")],
    ),
    ("tasks_running_was_started", &[("started_at", "now()")]),
    (
        "tasks_running_was_started",
        &[
            ("status", "'running'"),
            ("picked_at", "now()"),
            ("assigned_worker", "1"),
        ],
    ),
    (
        "finished_tasks_status_check",
        &[("status", "'running'"), ("outcome", "'failed'")],
    ),
    (
        "finished_tasks_outcome_check",
        &[("status", "'failed'"), ("outcome", "'ended'")],
    ),
    (
        "finished_tasks_completed_was_started",
        &[("started_at", "null")],
    ),
    ("finished_tasks_completed_exit_code", &[("exit_code", "1")]),
    ("finished_tasks_outcome_fits", &[("outcome", "'lost'")]),
    ("finished_tasks_outcome_fits", &[("status", "'failed'")]),
    (
        "finished_tasks_outcome_fits",
        &[("status", "'cancelled'"), ("outcome", "'failed'")],
    ),
    (
        "finished_tasks_outcome_fits",
        &[("status", "'failed'"), ("outcome", "'cancelled'")],
    ),
    ("attempts_attempt_check", &[("attempt", "0")]),
    ("attempts_outcome_check", &[("outcome", "'running'")]),
    ("output_stream_check", &[("stream", "'stdin'")]),
    ("workers_status_check", &[("status", "'idle'")]),
    ("workers_slots_check", &[("slots", "0")]),
    ("workers_check", &[("slots", "2")]),
    (
        "workers_heartbeat_timeout_seconds_check",
        &[("heartbeat_timeout_seconds", "0")],
    ),
    ("workers_name_key", &[("name", "'taken'")]),
    ("finished_counts_status_check", &[("status", "'lost'")]),
    (
        "tasks_pkey",
        &[("id", "'00000000-0000-7000-8000-000000000000'")],
    ),
    ("finished_counts_pkey", &[("day", "'2026-01-23'")]),
    ("idempotency_keys_scope_check", &[("scope", "'smtp'")]),
    ("idempotency_keys_key_check", &[("key", "''")]),
    ("idempotency_keys_key_check", &[("key", "repeat('x', 256)")]),
    (
        "idempotency_keys_fingerprint_check",
        &[("fingerprint", "'x'")],
    ),
    ("idempotency_keys_task_ids_check", &[("task_ids", "'{}'")]),
    ("idempotency_keys_pkey", &[("key", "'taken'")]),
    ("audit_caller_check", &[("caller", "''")]),
    ("audit_action_check", &[("action", "''")]),
    ("audit_steps_check", &[("steps", "'{}'")]),
    (
        "audit_outcome_check",
        &[("outcome", "'lost'"), ("finished_at", "now()")],
    ),
    ("audit_finished", &[("outcome", "'done'")]),
    ("audit_finished", &[("finished_at", "now()")]),
    ("autoscaler_only_row_check", &[("only_row", "false")]),
    ("autoscaler_min_workers_check", &[("min_workers", "0")]),
    ("autoscaler_min_within_max", &[("min_workers", "11")]),
    (
        "autoscaler_target_seconds_check",
        &[("target_seconds", "0")],
    ),
    (
        "autoscaler_scale_up_cooldown_seconds_check",
        &[("scale_up_cooldown_seconds", "-1")],
    ),
    (
        "autoscaler_scale_down_cooldown_seconds_check",
        &[("scale_down_cooldown_seconds", "-1")],
    ),
    ("autoscaler_max_step_up_check", &[("max_step_up", "0")]),
    ("autoscaler_max_step_down_check", &[("max_step_down", "0")]),
    (
        "autoscaler_decisions_from_workers_check",
        &[("from_workers", "-1")],
    ),
    (
        "autoscaler_decisions_to_workers_check",
        &[("to_workers", "-1")],
    ),
    (
        "autoscaler_decisions_applied_changed_something",
        &[("applied", "true")],
    ),
    (
        "autoscaler_decisions_applied_changed_something",
        &[
            ("applied", "true"),
            ("to_workers", "2"),
            ("dry_run", "true"),
        ],
    ),
    (
        "autoscaler_decisions_applied_changed_something",
        &[("applied", "true"), ("to_workers", "2"), ("error", "'e'")],
    ),
];

async fn insert(pool: &PgPool, table: &str, changes: &[(&str, &str)]) -> sqlx::Result<()> {
    let (_, good) = GOOD.iter().find(|(name, _)| *name == table).unwrap();
    let kept = good
        .iter()
        .filter(|(column, _)| changes.iter().all(|(changed, _)| changed != column));
    let (columns, values): (Vec<&str>, Vec<&str>) = kept.chain(changes).copied().unzip();
    let statement = format!(
        "insert into {table} ({}) values ({})",
        columns.join(", "),
        values.join(", ")
    );
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(pool)
        .await?;
    Ok(())
}

fn table_of(constraint: &str) -> &'static str {
    let matching = GOOD.iter().map(|(table, _)| *table);
    matching
        .filter(|table| constraint.starts_with(&format!("{table}_")))
        .max_by_key(|table| table.len())
        .unwrap()
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn each_refuses_by_its_name(pool: PgPool) {
    // The row that the migration makes.
    sqlx::query("delete from autoscaler")
        .execute(&pool)
        .await
        .unwrap();
    for (table, _) in GOOD {
        insert(&pool, table, &[]).await.unwrap();
    }
    for (table, taken) in [
        ("tasks", ("id", "'00000000-0000-7000-8000-000000000000'")),
        ("workers", ("name", "'taken'")),
        ("finished_counts", ("day", "'2026-01-23'")),
        ("idempotency_keys", ("key", "'taken'")),
    ] {
        insert(&pool, table, &[taken]).await.unwrap();
    }
    for (constraint, changes) in BAD {
        let error = insert(&pool, table_of(constraint), changes)
            .await
            .unwrap_err();
        let broken = error.as_database_error().and_then(|e| e.constraint());
        assert_eq!(broken, Some(constraint), "{changes:?}: {error}");
        assert!(taskmaster_store::Error::from(error).is_bad_data());
    }
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn none_is_left_out_above(pool: PgPool) {
    let there: Vec<String> = sqlx::query_scalar(
        "select conname::text from pg_constraint c join pg_class t on t.oid = c.conrelid
         where c.connamespace = 'public'::regnamespace and not t.relispartition and contype in ('c', 'u')",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let tried: BTreeSet<&str> = BAD.iter().map(|(constraint, _)| *constraint).collect();
    let left_out: Vec<&String> = there
        .iter()
        .filter(|name| !name.starts_with("_sqlx") && !tried.contains(name.as_str()))
        .collect();
    assert!(!there.is_empty() && left_out.is_empty(), "{left_out:?}");
}
