-- Each piece is looked up by itself, whatever the planner believes of the tables: see start.sql.
insert into output (task_id, lease, seq, attempt, stream, data)
select x.id, x.lease, x.seq, x.attempt, x.stream, x.data
from unnest($1::uuid[], $2::integer[], $3::integer[], $4::integer[], $5::text[], $6::bytea[])
    as x(id, lease, seq, attempt, stream, data)
where (select true from tasks t where t.id = x.id and t.lease = x.lease and t.status = 'running')
  and (select true from output o where o.task_id = x.id and o.lease = x.lease and o.seq = x.seq
           -- Tried again within minutes: without this, every partition there is would be looked into.
           and o.written_at > now() - interval '1 day' limit 1) is null
