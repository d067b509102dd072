-- Looked up and locked one by one, in the order given: see start.sql.
with held as materialized (
    select l.*, x.outcome, x.delay_seconds, x.exit_code, x.signal, x.message
    from unnest($1::uuid[], $2::integer[], $3::text[], $4::float8[], $5::integer[], $6::integer[], $7::text[])
        as x(id, lease, outcome, delay_seconds, exit_code, signal, message)
    cross join lateral (
        select t.id, t.lease, t.attempt, t.assigned_worker, t.scheduled_at, t.picked_at, t.started_at
        from tasks t
        where t.id = x.id and t.lease = x.lease and t.status = 'running' and t.cancel_requested_at is null
        for update
    ) l
),
again as (
    update tasks t
    set status = 'scheduled', picked_at = null, started_at = null, assigned_worker = null,
        scheduled_at = now() + make_interval(secs => h.delay_seconds), error_message = h.message
    from held h
    where t.id = any (array(select id from held)) and h.id = t.id
),
kept as (
    insert into attempts (task_id, attempt, lease, worker_id, scheduled_at, picked_at, started_at, finished_at,
        outcome, exit_code, signal, error_message)
    select id, attempt, lease, assigned_worker, scheduled_at, picked_at, started_at, now(), outcome, exit_code,
        signal, message
    from held
)
select id as "id!" from held
