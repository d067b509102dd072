-- Each id is looked up by itself and locked in the order given, whatever the planner believes of the table: a batch
-- never becomes a scan of the live tasks, and two batches in the same order never wait for each other in a circle.
with held as materialized (
    select l.id
    from unnest($1::uuid[], $2::integer[]) as x(id, lease)
    cross join lateral (
        select t.id from tasks t
        where t.id = x.id and t.lease = x.lease and t.status = 'assigned' and t.assigned_worker = $3
        for update
    ) l
    where exists (select from workers w where w.id = $3 and w.incarnation = $4)
)
update tasks t
set status = 'running', started_at = now(), attempt = t.attempt + 1
where t.id = any (array(select id from held))
returning t.id as "id!", t.lease as "lease!", t.attempt as "attempt!", t.max_attempts as "max_attempts!",
    t.command as "command!", t.argv as "argv?: Json<Vec<String>>", t.env as "env?", t.stdin as "stdin?",
    t.timeout_seconds as "timeout_seconds?", t.executor as "executor!",
    t.simulate as "simulate?: Json<SimulateOptions>"
