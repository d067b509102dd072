-- What the autoscaler looks at. Each part reads a range of an index: what is due, what workers hold, what came in lately.
with recursive levels as (
    (select priority from tasks where picked_at is null order by priority desc limit 1)
    union all
    select (select t.priority from tasks t where t.picked_at is null and t.priority < l.priority
            order by t.priority desc limit 1)
    from levels l where l.priority is not null
),
waiting as (
    select count(*) filter (where d.scheduled_at <= now()) as due,
        count(*) filter (where d.scheduled_at > now()) as due_soon
    from levels l
    cross join lateral (
        select t.scheduled_at from tasks t
        where t.picked_at is null and t.priority = l.priority
          and t.scheduled_at <= now() + make_interval(secs => $1::float8)
        -- Level by level, as the claim: what is due much later is not read. `offset 0` keeps it so.
        offset 0
    ) d
    where l.priority is not null
),
there as (
    select id, slots, status = 'online' and drain_requested_at is null as takes from workers where status <> 'offline'
),
holding as materialized (
    -- Worker by worker: few tasks each, whatever the planner believes of the table.
    select w.id, w.takes, t.running, t.age
    from there w
    cross join lateral (
        select t.status = 'running' as running, extract(epoch from now() - t.started_at)::float8 as age
        from tasks t where t.assigned_worker = w.id and t.picked_at is not null offset 0
    ) t
),
-- Those that came in last, of which most ended last: there is no index by the time of ending. What was never started tells
-- nothing.
ended as (
    select avg(seconds) as mean, max(seconds) as longest, max(started_at) as began
    from (
        select extract(epoch from finished_at - started_at)::float8 as seconds, started_at
        from finished_tasks where finished_at > now() - interval '1 day' and started_at is not null
        order by id desc limit 200
    ) newest
),
-- By the time in their ids, which are of version 7. Of ten seconds at most 10,000 that have not ended are counted, and as
-- many that have: beyond that, the backlog tells.
arrived as (
    select array_agg(live.count + finished.count order by piece.number) as counts
    from generate_series(0, 5) as piece (number)
    cross join lateral (
        select (extract(epoch from now()) * 1000)::bigint - piece.number * 10000 as ms
    ) until
    cross join lateral (
        select (lpad(to_hex(until.ms - 10000), 12, '0') || repeat('0', 20))::uuid as low,
            (lpad(to_hex(until.ms), 12, '0') || repeat('0', 20))::uuid as high
    ) ids
    cross join lateral (
        select count(*) as count from (
            select from tasks t where t.id >= ids.low and t.id < ids.high and t.scheduled_at <= now() limit 10000
        ) t
    ) live
    cross join lateral (
        select count(*) as count from (
            select from finished_tasks f
            where f.id >= ids.low and f.id < ids.high and f.finished_at > now() - interval '2 minutes' limit 10000
        ) f
    ) finished
)
select now() as "at!", w.due as "due!", w.due_soon as "due_soon!",
    (select count(*) from there where takes) as "online!",
    (select count(*) from there where not takes) as "draining!",
    coalesce((select avg(slots) from there where takes),
        -- None is there: like the one that was there last.
        (select slots from workers order by last_active_at desc limit 1), 1)::float8 as "slots!",
    h.busy as "busy!", h.running as "running!", h.held as "held!",
    -- What runs now is longer than the mean just because long runs are seen for longer. It tells something new only if
    -- nothing that began after it has ended.
    case when e.began is null or e.began < now() - make_interval(secs => h.median) then h.median end
        as "running_seconds?",
    e.mean as "run_seconds?", coalesce(greatest(e.longest, h.longest), 0) as "longest_run_seconds!",
    a.counts as "arrivals!",
    (select at from autoscaler_decisions where applied and to_workers > from_workers order by id desc limit 1)
        as "last_scale_up_at?",
    (select at from autoscaler_decisions where applied and to_workers < from_workers order by id desc limit 1)
        as "last_scale_down_at?"
from waiting w,
    ended e,
    arrived a,
    (select count(distinct id) filter (where takes) as busy, count(*) filter (where running) as running,
        -- What drains takes its tasks with it.
        count(*) filter (where running and takes and age > $1::float8) as held,
        percentile_cont(0.5) within group (order by age) filter (where running) as median,
        max(age) filter (where running) as longest
     from holding) h
