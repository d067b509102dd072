-- Looked up and locked one by one, in the order given: see start.sql.
with held as materialized (
    select l.*, x.exit_code, x.signal, x.message,
        -- What did not end by itself, and was to be cancelled, has been.
        case when c.cancelled then 'cancelled' else x.outcome end as outcome,
        case when c.cancelled then 'cancelled' else x.final_status end as final_status
    from unnest($1::uuid[], $2::integer[], $3::text[], $4::text[], $5::integer[], $6::integer[], $7::text[])
        as x(id, lease, outcome, final_status, exit_code, signal, message)
    cross join lateral (
        select * from tasks t
        where t.id = x.id and t.lease = x.lease and t.status = 'running'
        for update
    ) l
    cross join lateral (
        select l.cancel_requested_at is not null and x.outcome in ('lost', 'timed_out') as cancelled
    ) c
),
gone as (
    delete from tasks where id = any (array(select id from held))
),
kept as (
    insert into finished_tasks (id, command, argv, executor, simulate, env, stdin, priority, timeout_seconds, status,
        outcome, lease, attempt, max_attempts, created_at, scheduled_at, picked_at, started_at, finished_at,
        assigned_worker, cancel_requested_at, submitted_max_attempts, exit_code, signal, error_message)
    select id, command, argv, executor, simulate, env, stdin, priority, timeout_seconds, final_status,
        outcome, lease, attempt, max_attempts, created_at, scheduled_at, picked_at, started_at, now(),
        assigned_worker, cancel_requested_at, submitted_max_attempts, exit_code, signal, message
    from held
    returning id, status
),
counted as (
    insert into finished_counts (day, worker_id, status, count)
    select (now() at time zone 'UTC')::date, $8::integer, status, count(*) from kept group by status order by status
    on conflict (day, worker_id, status) do update set count = finished_counts.count + excluded.count
),
counted_by_worker as (
    update workers w
    set tasks_completed = w.tasks_completed + n.completed, tasks_failed = w.tasks_failed + n.failed,
        last_active_at = now()
    from (select count(*) filter (where status = 'completed') as completed,
                 count(*) filter (where status = 'failed') as failed, count(*) as finished
          from kept) n
    where w.id = $8::integer and n.finished > 0
)
select id as "id!", status as "status!" from kept
