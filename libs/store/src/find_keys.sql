-- Looked up one by one, whatever Postgres believes of the size of the table.
select i.key as "key!", i.fingerprint as "fingerprint!", i.task_ids as "task_ids!"
from unnest($2::text[]) as wanted(key)
cross join lateral (
    select * from idempotency_keys i where i.scope = $1 and i.key = wanted.key limit 1
) i
