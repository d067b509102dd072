with old as (
    delete from finished_tasks where id = $1 and status in ('failed', 'cancelled')
    returning *
),
kept as (
    insert into attempts (task_id, attempt, lease, worker_id, scheduled_at, picked_at, started_at, finished_at,
        outcome, exit_code, signal, error_message)
    select id, attempt, lease, assigned_worker, scheduled_at, picked_at, started_at, finished_at, outcome,
        exit_code, signal, error_message
    from old
    -- One that was cancelled before its start left no attempt.
    where started_at is not null
),
counted as (
    insert into finished_counts (day, worker_id, status, count)
    select (finished_at at time zone 'UTC')::date, 0, status, -1 from old
    on conflict (day, worker_id, status) do update set count = finished_counts.count + excluded.count
)
insert into tasks (id, command, argv, executor, simulate, env, stdin, priority, timeout_seconds, lease, attempt,
    max_attempts, submitted_max_attempts, created_at, error_message)
select id, command, argv, executor, simulate, env, stdin, priority, timeout_seconds, lease, attempt,
    greatest(max_attempts, attempt + 1), coalesce(submitted_max_attempts, max_attempts), created_at, error_message
from old
returning id
