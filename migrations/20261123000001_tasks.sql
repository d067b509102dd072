-- Live tasks: small and hot. A finish moves the row to `finished_tasks`.
--
-- No index names `status`, `started_at`, `attempt` or `lease`, so that a start is a HOT update; the claim is the one
-- update that moves a row between the two partial indexes. The free space of each page is for those versions.
create table tasks (
    id                  uuid primary key,
    command             text        not null check (command <> ''),
    argv                jsonb,
    executor            text        not null default 'process' check (executor in ('process', 'simulate')),
    simulate            jsonb,
    env                 jsonb,
    stdin               text,
    priority            smallint    not null default 0 check (priority between -100 and 100),
    timeout_seconds     integer     check (timeout_seconds > 0),
    status              text        not null default 'scheduled' check (status in ('scheduled', 'assigned', 'running')),
    lease               integer     not null default 0 check (lease >= 0),
    attempt             integer     not null default 0 check (attempt >= 0),
    max_attempts        integer     not null default 1 check (max_attempts > 0),
    created_at          timestamptz not null default now(),
    scheduled_at        timestamptz not null default now(),
    picked_at           timestamptz,
    started_at          timestamptz,
    assigned_worker     integer,
    cancel_requested_at timestamptz,
    error_message       text,
    -- Scheduled if and only if nobody holds it; running if and only if it was started.
    constraint tasks_scheduled_is_held_by_nobody
        check ((status = 'scheduled') = (picked_at is null) and (picked_at is null) = (assigned_worker is null)),
    constraint tasks_running_was_started
        check ((status = 'running') = (started_at is not null)),
    constraint tasks_attempts_within_limit
        check (attempt <= max_attempts)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- What the claim walks: for each priority, from the highest, what is due, oldest first.
create index tasks_claim on tasks (priority desc, scheduled_at, id) where picked_at is null;
-- What a worker holds.
create index tasks_held on tasks (assigned_worker) where picked_at is not null;

-- History, one partition for each day (UTC) of finishing: retention drops a partition.
create table finished_tasks (
    id                  uuid        not null,
    command             text        not null,
    argv                jsonb,
    executor            text        not null,
    simulate            jsonb,
    env                 jsonb,
    stdin               text,
    priority            smallint    not null,
    timeout_seconds     integer,
    status              text        not null check (status in ('completed', 'failed', 'cancelled')),
    outcome             text        not null check (outcome in ('completed', 'failed', 'cancelled', 'timed_out', 'lost')),
    lease               integer     not null,
    attempt             integer     not null,
    max_attempts        integer     not null,
    created_at          timestamptz not null,
    scheduled_at        timestamptz not null,
    picked_at           timestamptz,
    started_at          timestamptz,
    finished_at         timestamptz not null,
    assigned_worker     integer,
    cancel_requested_at timestamptz,
    exit_code           integer,
    signal              integer,
    error_message       text,
    constraint finished_tasks_completed_was_started check (status <> 'completed' or started_at is not null),
    constraint finished_tasks_completed_exit_code check (status <> 'completed' or coalesce(exit_code, 0) = 0),
    constraint finished_tasks_outcome_fits check (
        (status = 'completed') = (outcome = 'completed') and (status = 'cancelled') = (outcome = 'cancelled')),
    primary key (id, finished_at)
) partition by range (finished_at);
create index finished_tasks_status on finished_tasks (status, id);

-- How many tasks finished on each day, in each status, so that a count never reads history. One row for each worker
-- (0: the coordinator and the API), so that workers do not wait for each other.
create table finished_counts (
    day       date    not null,
    worker_id integer not null,
    status    text    not null check (status in ('completed', 'failed', 'cancelled')),
    count     bigint  not null,
    primary key (day, worker_id, status)
) with (fillfactor = 50);

-- Attempts that a retry or a rescue superseded. The latest attempt is the task's own row.
create table attempts (
    task_id       uuid        not null,
    attempt       integer     not null check (attempt > 0),
    lease         integer     not null,
    worker_id     integer,
    scheduled_at  timestamptz not null,
    picked_at     timestamptz,
    started_at    timestamptz not null,
    finished_at   timestamptz not null,
    outcome       text        not null check (outcome in ('completed', 'failed', 'cancelled', 'timed_out', 'lost')),
    exit_code     integer,
    signal        integer,
    error_message text,
    primary key (task_id, attempt, finished_at)
) partition by range (finished_at);

-- Output, in pieces. Keyed by the lease: what a worker wrote that lost its lease never mixes with its successor's.
create table output (
    task_id    uuid        not null,
    lease      integer     not null,
    seq        integer     not null,
    attempt    integer     not null,
    stream     text        not null check (stream in ('stdout', 'stderr', 'note')),
    data       bytea       not null,
    written_at timestamptz not null default now(),
    primary key (task_id, lease, seq, written_at)
) partition by range (written_at);

create table workers (
    id              integer generated by default as identity primary key,
    name            text        not null unique,
    incarnation     uuid        not null,
    status          text        not null check (status in ('online', 'draining', 'offline')),
    slots           integer     not null check (slots > 0),
    claim_window    integer     not null check (claim_window >= slots),
    host            text        not null,
    pid             integer     not null,
    version         text        not null,
    started_at      timestamptz not null default now(),
    last_active_at  timestamptz not null default now(),
    heartbeat_timeout_seconds integer not null check (heartbeat_timeout_seconds > 0),
    tasks_completed bigint      not null default 0,
    tasks_failed    bigint      not null default 0
) with (fillfactor = 50);

-- Default partitions: should nobody have made tomorrow's, nothing is refused. They stay empty otherwise.
create table finished_tasks_default partition of finished_tasks default;
create table attempts_default partition of attempts default;
create table output_default partition of output default;

-- Makes the partition of `day` of `parent`, unless it is there. Rows that went to the default partition move over.
create function taskmaster_ensure_partition(parent text, column_name text, day date) returns boolean
language plpgsql as $$
declare
    child text := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
    low timestamptz := day::timestamp at time zone 'UTC';
    high timestamptz := (day + 1)::timestamp at time zone 'UTC';
begin
    if to_regclass(child) is not null then
        return false;
    end if;
    -- Else a row of that day could get in between the move and the attachment, which would then fail.
    execute format('lock table %I in access exclusive mode', parent || '_default');
    execute format('create table %I (like %I including defaults including constraints)', child, parent);
    execute format('with moved as (delete from %I where %I >= %L and %I < %L returning *) insert into %I select * from moved',
        parent || '_default', column_name, low, column_name, high, child);
    execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, child, low, high);
    return true;
end $$;

-- Every task, live or finished: for reading.
create view all_tasks as
select id, command, argv, executor, status, null::text as outcome, lease, priority, created_at, scheduled_at,
    picked_at, started_at, null::timestamptz as finished_at, cancel_requested_at, assigned_worker, attempt,
    max_attempts, timeout_seconds, null::integer as exit_code, null::integer as signal, error_message, env,
    stdin is not null as stdin
from tasks
union all
select id, command, argv, executor, status, outcome, lease, priority, created_at, scheduled_at,
    picked_at, started_at, finished_at, cancel_requested_at, assigned_worker, attempt,
    max_attempts, timeout_seconds, exit_code, signal, error_message, env,
    stdin is not null as stdin
from finished_tasks;

-- The first ones, in the same transaction, so that nobody ever writes to a table that is about to get a partition.
select taskmaster_ensure_partition(p.parent, p.column_name, ((now() at time zone 'UTC')::date + d)::date)
from (values ('finished_tasks', 'finished_at'), ('attempts', 'finished_at'), ('output', 'written_at')) as p(parent, column_name),
     generate_series(-1, 14) as d;
