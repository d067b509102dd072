select t.id as "id!", t.command as "command!", t.argv as "argv?: Json<Vec<String>>", t.executor as "executor!",
    t.status as "status!", t.outcome as "outcome?", t.lease as "lease!", t.priority as "priority!",
    t.created_at as "created_at!", t.scheduled_at as "scheduled_at!", t.picked_at as "picked_at?",
    t.started_at as "started_at?", t.finished_at as "finished_at?", t.cancel_requested_at as "cancel_requested_at?",
    t.assigned_worker as "assigned_worker?", w.name as "assigned_worker_name?", t.attempt as "attempt!",
    t.max_attempts as "max_attempts!", t.timeout_seconds as "timeout_seconds?", t.exit_code as "exit_code?",
    t.signal as "signal?", t.error_message as "error_message?", t.env as "env?", t.stdin as "stdin!"
from (
    -- A limit below the filters that no index knows: what they look through is bounded.
    select * from (
        select * from all_tasks a
        where ($1::uuid[] is null or a.id = any ($1))
          and ($2::text[] is null or a.status = any ($2))
          and ($3::uuid is null or a.id < $3)
        order by a.id desc
        limit $4
    ) looked
    where ($5::integer is null or looked.assigned_worker = $5)
      and ($6::text is null or looked.command ilike $6)
    order by looked.id desc
    limit $7
) t
left join workers w on w.id = t.assigned_worker
order by t.id desc
