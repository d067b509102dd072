with recursive levels as (
    (select priority from tasks where picked_at is null order by priority desc limit 1)
    union all
    select (select t.priority from tasks t where t.picked_at is null and t.priority < l.priority
            order by t.priority desc limit 1)
    from levels l where l.priority is not null
),
due as materialized (
    select d.id
    from levels l
    cross join lateral (
        select t.id from tasks t
        where t.picked_at is null and t.priority = l.priority and t.scheduled_at <= now()
        order by t.scheduled_at, t.id
        limit cardinality($1::integer[])
        for update skip locked
    ) d
    where l.priority is not null
    limit cardinality($1::integer[])
),
planned as materialized (
    select numbered.id, numbered.turn, ($1::integer[])[numbered.turn] as worker_id
    from (select id, row_number() over () as turn from due) numbered
)
update tasks t
set status = 'assigned', picked_at = now(), assigned_worker = p.worker_id, lease = t.lease + 1
from planned p
-- They are locked: nobody moved them in between. The array makes it a look-up of each id, whatever the planner
-- believes of the table.
where t.id = any (array(select id from planned)) and t.id = p.id
returning t.id as "id!", t.lease as "lease!", p.worker_id as "worker_id!", p.turn as "turn!",
    coalesce((t.simulate ->> 'wait_ms')::bigint, 0) as "wait_ms!"
