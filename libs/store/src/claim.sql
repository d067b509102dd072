-- The priorities that have scheduled tasks: those that the caller knows, each from where it has come, and whatever lies between.
with recursive found as (
    select g.below, (select t.priority from tasks t
                     where t.picked_at is null and t.priority < g.above and t.priority > g.below
                     order by t.priority desc limit 1) as priority
    from unnest($5::smallint[], $6::smallint[]) as g(above, below)
    union all
    select f.below, (select t.priority from tasks t
                     where t.picked_at is null and t.priority < f.priority and t.priority > f.below
                     order by t.priority desc limit 1)
    from found f where f.priority is not null
),
levels as materialized (
    select priority, scheduled_at, id from unnest($2::smallint[], $3::timestamptz[], $4::uuid[]) as known(priority, scheduled_at, id)
    union all
    select priority, '-infinity', '00000000-0000-0000-0000-000000000000' from found where priority is not null
    order by priority desc
),
due as materialized (
    select d.id
    from levels l
    cross join lateral (
        select t.id from tasks t
        where t.picked_at is null and t.priority = l.priority and t.scheduled_at <= now()
          and (t.scheduled_at, t.id) > (l.scheduled_at, l.id)
        order by t.scheduled_at, t.id
        limit cardinality($1::integer[])
        for update skip locked
    ) d
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
    coalesce((t.simulate ->> 'wait_ms')::bigint, 0) as "wait_ms!", t.priority as "priority!",
    t.scheduled_at as "scheduled_at!"
