-- Submissions that were given a name by their sender: the same name with the same content is the same submission. A row
-- is inserted in the same statement as its tasks, so that neither is there without the other.
create table idempotency_keys (
    -- Which way it came in: a name is the sender's own, and the two kinds of sender do not know of each other.
    scope       text        not null check (scope in ('http', 'amqp')),
    -- Byte order is cheaper than a language's, and the same everywhere.
    key         text        collate "C" not null check (length(key) between 1 and 255),
    -- SHA-256 of what was asked for.
    fingerprint bytea       not null check (octet_length(fingerprint) = 32),
    -- In the order in which they were submitted. No foreign key: they end, and history is dropped by the day.
    task_ids    uuid[]      not null check (cardinality(task_ids) > 0),
    created_at  timestamptz not null default now(),
    primary key (scope, key)
);
-- What the cleaner walks.
create index idempotency_keys_created_at on idempotency_keys (created_at);
