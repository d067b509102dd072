//! A long history and a long future, to be measured with: as if it had run for two weeks.

use anyhow::Result;
use taskmaster_store::PgPool;
use taskmaster_testkit::sqlx;

/// Over so many days before today.
const DAYS: i32 = 14;

/// Adds so many tasks that ended, one in a hundred of them failed, by twenty workers.
pub(crate) async fn add_finished(pool: &PgPool, count: i64) -> Result<()> {
    for day in 1..=DAYS {
        sqlx::query(
            "select taskmaster_ensure_partition(parent, 'finished_at', (now() at time zone 'UTC')::date - $1)
             from (values ('finished_tasks')) as p(parent)",
        )
        .bind(day)
        .execute(pool)
        .await?;
        // Ids of version 7 carry their moment in their first 48 bits.
        sqlx::query(
            "with ended as (
                insert into finished_tasks (id, command, executor, simulate, priority, status, outcome, lease, attempt,
                    max_attempts, created_at, scheduled_at, picked_at, started_at, finished_at, assigned_worker, exit_code,
                    error_message)
                select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7'
                        || substr(gen_random_uuid()::text, 16, 3) || '8' || substr(gen_random_uuid()::text, 21, 3)
                        || substr(gen_random_uuid()::text, 25, 12))::uuid,
                    'report --customer ' || n % 5000, 'simulate', '{\"wait_ms\": 0, \"run_ms\": 0, \"fail\": false}', 0,
                    status, status, 1, 1, 1, at, at, at + '2 ms', at + '4 ms', at + '5 s', 1000 + n % 20,
                    case status when 'failed' then 1 else 0 end, case status when 'failed' then 'exit code 1' end
                from generate_series(1, $2::bigint) n,
                    lateral (select ((now() at time zone 'UTC')::date - $1)::timestamp at time zone 'UTC'
                        + n * interval '23 hours' / $2) t(at),
                    lateral (select case when n % 100 = 0 then 'failed' else 'completed' end) s(status)
                returning status, assigned_worker)
             insert into finished_counts (day, worker_id, status, count)
             select (now() at time zone 'UTC')::date - $1, assigned_worker, status, count(*) from ended group by 2, 3
             on conflict (day, worker_id, status) do update set count = finished_counts.count + excluded.count",
        )
        .bind(day)
        .bind(count / i64::from(DAYS))
        .execute(pool)
        .await?;
    }
    sqlx::query("insert into workers (id, name, incarnation, status, slots, claim_window, host, pid, version,
             heartbeat_timeout_seconds, last_active_at)
         select 1000 + n, 'old-' || n, gen_random_uuid(), 'offline', 4, 4, 'localhost', 0, '0', 10, now()
         from generate_series(0, 19) n on conflict do nothing")
        .execute(pool)
        .await?;
    Ok(())
}

/// Adds so many tasks that are due over the next days.
pub(crate) async fn add_future(pool: &PgPool, count: i64) -> Result<()> {
    sqlx::query(
        "insert into tasks (id, command, scheduled_at)
         select (lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || '7'
                 || substr(gen_random_uuid()::text, 16, 3) || '8' || substr(gen_random_uuid()::text, 21, 3)
                 || substr(gen_random_uuid()::text, 25, 12))::uuid,
             'later ' || n, now() + interval '1 day' + n * interval '1 s'
         from generate_series(1, $1::bigint) n",
    )
    .bind(count)
    .execute(pool)
    .await?;
    Ok(())
}

/// As autovacuum leaves it, without waiting for that.
pub(crate) async fn settle(pool: &PgPool) -> Result<()> {
    for statement in [
        "vacuum (analyze) tasks",
        "vacuum (analyze) finished_tasks",
        "checkpoint",
    ] {
        sqlx::raw_sql(statement).execute(pool).await?;
    }
    Ok(())
}
