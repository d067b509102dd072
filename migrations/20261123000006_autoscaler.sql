-- How the autoscaler is set: one row. The API checks first and says what is wrong in words; these only keep it so.
create table autoscaler (
    only_row                    boolean     primary key default true check (only_row),
    enabled                     boolean     not null default false,
    dry_run                     boolean     not null default false,
    -- Somebody scaled by hand: nothing changes until that is released.
    pinned                      boolean     not null default false,
    min_workers                 integer     not null default 1 check (min_workers > 0),
    max_workers                 integer     not null default 10,
    target_seconds              integer     not null default 60 check (target_seconds > 0),
    scale_up_cooldown_seconds   integer     not null default 15 check (scale_up_cooldown_seconds >= 0),
    scale_down_cooldown_seconds integer     not null default 300 check (scale_down_cooldown_seconds >= 0),
    max_step_up                 integer     not null default 4 check (max_step_up > 0),
    max_step_down               integer     not null default 4 check (max_step_down > 0),
    changed_at                  timestamptz not null default now(),
    constraint autoscaler_min_within_max check (min_workers <= max_workers)
);
insert into autoscaler default values;

-- What it decided: whatever changed something or would have, and the first of each run of decisions for another reason.
create table autoscaler_decisions (
    id           bigint      generated always as identity primary key,
    at           timestamptz not null default now(),
    from_workers integer     not null check (from_workers >= 0),
    to_workers   integer     not null check (to_workers >= 0),
    -- The reason's name, and the reason in words.
    kind         text        not null,
    reason       text        not null,
    -- What was seen.
    observation  jsonb       not null,
    dry_run      boolean     not null,
    -- Whether the fleet was changed.
    applied      boolean     not null,
    -- Why not, if it was to be.
    error        text,
    constraint autoscaler_decisions_applied_changed_something
        check (not applied or (from_workers <> to_workers and not dry_run and error is null))
);
-- The last growth and the last shrinking, for the cool-downs.
create index autoscaler_decisions_applied on autoscaler_decisions (id) where applied;
