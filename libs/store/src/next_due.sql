with recursive levels as (
    (select priority, scheduled_at from tasks where picked_at is null order by priority desc, scheduled_at limit 1)
    union all
    select n.priority, n.scheduled_at
    from levels l
    cross join lateral (
        select t.priority, t.scheduled_at from tasks t where t.picked_at is null and t.priority < l.priority
        order by t.priority desc, t.scheduled_at limit 1
    ) n
)
select (extract(epoch from min(scheduled_at) - now()) * 1000)::float8 as ms from levels
