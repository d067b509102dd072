with gone as (
    delete from tasks t where t.id = $1 and (t.status in ('scheduled', 'assigned')) is true
    returning t.*
),
kept as (
    insert into finished_tasks (id, command, argv, executor, simulate, env, stdin, priority, timeout_seconds, status,
        outcome, lease, attempt, max_attempts, created_at, scheduled_at, picked_at, started_at, finished_at,
        assigned_worker, cancel_requested_at, submitted_max_attempts, error_message)
    select id, command, argv, executor, simulate, env, stdin, priority, timeout_seconds, 'cancelled',
        'cancelled', lease, attempt, max_attempts, created_at, scheduled_at, picked_at, null, now(),
        assigned_worker, now(), submitted_max_attempts, error_message
    from gone
    returning id
),
counted as (
    insert into finished_counts (day, worker_id, status, count)
    select (now() at time zone 'UTC')::date, 0, 'cancelled', count(*) from kept having count(*) > 0
    on conflict (day, worker_id, status) do update set count = finished_counts.count + excluded.count
)
select id as "id!" from kept
