-- When somebody asked a worker to drain, by the API: its heartbeat brings it back to it, and the dispatcher gives it nothing
-- from then on. It is about the incarnation that was asked: the next one begins without it. Beside `status`, which the worker
-- itself says: neither of the two overwrites the other. No index: there are few workers, and so its updates stay HOT.
alter table workers add column drain_requested_at timestamptz;
