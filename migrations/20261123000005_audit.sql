-- Who changed the fleet, how, and what came of it. A row is written before anything is done, its steps are added as they
-- happen, and an operation whose API has died is found by its row and taken over by the next one.
create table audit (
    -- Version 7: in the order in which they began.
    id          uuid        primary key,
    at          timestamptz not null default now(),
    caller      text        not null check (caller <> ''),
    action      text        not null check (action <> ''),
    -- What kind of fleet it is about: an API takes over what is about its own kind.
    fleet       text        not null,
    request     jsonb       not null,
    -- Why it was asked for, where somebody said so.
    reason      text,
    steps       jsonb       not null default '[]' check (jsonb_typeof(steps) = 'array'),
    -- When whoever carries it out was last heard of.
    touched_at  timestamptz not null default now(),
    -- When all was decided and set in motion: until then the steps may not tell all that there is to do.
    decided_at  timestamptz,
    finished_at timestamptz,
    outcome     text        check (outcome in ('done', 'partial', 'failed', 'refused')),
    -- Why it was refused, or what went wrong.
    error       text,
    constraint audit_finished check ((finished_at is null) = (outcome is null))
);
-- What an API looks for that takes over.
create index audit_unfinished on audit (touched_at) where finished_at is null;
-- What the cleaner walks.
create index audit_at on audit (at);
