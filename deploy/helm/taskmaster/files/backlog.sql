-- What needs a slot now: what runs, what is given out, and what is due. KEDA divides it by the slots of a worker.
-- A task that is due tomorrow needs none. Past ten thousand it does not matter how many: the fleet is at its limit.
select count(*) from (select from tasks where picked_at is not null or scheduled_at <= now() limit 10000) t
