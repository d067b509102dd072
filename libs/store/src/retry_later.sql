with again as (
    update tasks t
    set status = 'scheduled', picked_at = null, started_at = null, assigned_worker = null,
        scheduled_at = now() + make_interval(secs => x.delay_seconds), error_message = x.message
    from unnest($1::uuid[], $2::integer[], $3::text[], $4::float8[], $5::integer[], $6::integer[], $7::text[])
        as x(id, lease, outcome, delay_seconds, exit_code, signal, message)
    -- The row as it was: the same lease, so the same attempt.
    join tasks old on old.id = x.id
    where t.id = x.id and t.lease = x.lease and old.lease = x.lease and (t.status = 'running') is true
      and t.cancel_requested_at is null
    returning t.id, t.attempt, t.lease, old.assigned_worker, old.scheduled_at, old.picked_at, old.started_at,
        x.outcome, x.exit_code, x.signal, x.message
),
kept as (
    insert into attempts (task_id, attempt, lease, worker_id, scheduled_at, picked_at, started_at, finished_at,
        outcome, exit_code, signal, error_message)
    select id, attempt, lease, assigned_worker, scheduled_at, picked_at, started_at, now(), outcome, exit_code,
        signal, message
    from again
)
select id as "id!" from again
