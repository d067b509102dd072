-- See claim.sql.
with recursive found as (
    select g.below, (select t.priority from tasks t
                     where t.picked_at is null and t.priority < g.above and t.priority > g.below
                     order by t.priority desc limit 1) as priority
    from unnest($4::smallint[], $5::smallint[]) as g(above, below)
    union all
    select f.below, (select t.priority from tasks t
                     where t.picked_at is null and t.priority < f.priority and t.priority > f.below
                     order by t.priority desc limit 1)
    from found f where f.priority is not null
),
levels as materialized (
    select priority, scheduled_at, id from unnest($1::smallint[], $2::timestamptz[], $3::uuid[]) as known(priority, scheduled_at, id)
    union all
    select priority, '-infinity', '00000000-0000-0000-0000-000000000000' from found where priority is not null
)
select (extract(epoch from min(n.scheduled_at) - now()) * 1000)::float8 as ms
from levels l
cross join lateral (
    select t.scheduled_at from tasks t
    where t.picked_at is null and t.priority = l.priority and (t.scheduled_at, t.id) > (l.scheduled_at, l.id)
    order by t.scheduled_at, t.id
    limit 1
) n
