select t.id as "id!", t.command as "command!", t.argv as "argv?: Json<Vec<String>>", t.executor as "executor!",
    t.status as "status!", t.outcome as "outcome?", t.lease as "lease!", t.priority as "priority!",
    t.created_at as "created_at!", t.scheduled_at as "scheduled_at!", t.picked_at as "picked_at?",
    t.started_at as "started_at?", t.finished_at as "finished_at?", t.cancel_requested_at as "cancel_requested_at?",
    t.assigned_worker as "assigned_worker?", w.name as "assigned_worker_name?", t.attempt as "attempt!",
    t.max_attempts as "max_attempts!", t.timeout_seconds as "timeout_seconds?", t.exit_code as "exit_code?",
    t.signal as "signal?", t.error_message as "error_message?", t.env as "env?", t.stdin as "stdin!", t.matches as "matches!",
    t.is_last as "is_last!"
from (
    -- A limit below the filters that no index knows: what they look through is bounded. The last of it is told, too, for
    -- whoever goes on from there.
    select *
    from (
        select every.*, row_number() over (order by every.id desc) = $4 as is_last
        from (
            (select * from all_tasks a
             where $2::text[] is null
               and ($1::uuid[] is null or a.id = any ($1))
               and ($3::uuid is null or a.id < $3)
             order by a.id desc
             limit $4)
            union all
            -- Each by itself: the index has the tasks of one status in order, and those of several it has not.
            (select ended.*
             from unnest($2) s(status)
             cross join lateral (
                 select * from all_tasks a
                 where a.status = s.status and a.status in ('completed', 'failed', 'cancelled')
                   and ($3 is null or a.id < $3)
                 order by a.id desc
                 limit $4
             ) ended)
            union all
            (select * from all_tasks a
             where 'scheduled' = any ($2)
               and a.status = any ($2) and a.status in ('scheduled', 'assigned', 'running')
               and ($3 is null or a.id < $3)
             order by a.id desc
             limit $4)
            union all
            -- Those that are held are few, and an index has them, however many are scheduled.
            (select * from all_tasks a
             where 'scheduled' <> all ($2)
               and a.status = any ($2) and a.status in ('assigned', 'running') and a.picked_at is not null
               and ($3 is null or a.id < $3)
             order by a.id desc
             limit $4)
        ) every
        order by every.id desc
        limit $4
    ) looked
    cross join lateral (
        select (($5::integer is null or looked.assigned_worker = $5)
            and ($6::text is null or looked.command ilike $6)) is true as matches
    ) filtered
    where matches or is_last
    order by looked.id desc
    limit $7
) t
left join workers w on w.id = t.assigned_worker
order by t.id desc
