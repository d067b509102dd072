-- What was submitted to start only once is not started again, also when its worker stopped it, and also when a retry by
-- hand has allowed it one start more.
-- Looked up and locked one by one, in the order given: see start.sql.
with held as materialized (
    select l.id
    from unnest($1::uuid[], $2::integer[]) as x(id, lease)
    cross join lateral (
        select t.id from tasks t
        where t.id = x.id and t.lease = x.lease and t.status = 'running' and t.cancel_requested_at is null
          and coalesce(t.submitted_max_attempts, t.max_attempts) > 1
        for update
    ) l
)
update tasks t
set status = 'scheduled', picked_at = null, started_at = null, assigned_worker = null, attempt = t.attempt - 1
where t.id = any (array(select id from held))
returning t.id
