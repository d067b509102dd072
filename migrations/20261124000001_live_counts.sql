-- How many live tasks there are, so that a count never reads them: a million that are due next year would be read for
-- each look at the dashboard. Kept by triggers, so that whoever inserts or deletes is counted, an older version too
-- while it is being replaced. One row for each of many connections, so that they seldom wait for each other; the sum counts.
create table live_counts (
    shard integer primary key,
    count bigint  not null
) with (fillfactor = 10);

create function taskmaster_count_live() returns trigger language plpgsql as $$
declare
    change bigint;
begin
    if tg_op = 'INSERT' then
        select count(*) into change from changed;
    elsif tg_op = 'DELETE' then
        select -count(*) into change from changed;
    else
        delete from live_counts;
        return null;
    end if;
    if change <> 0 then
        -- The last row that the statement locks: nobody who waits for it holds anything that this one needs.
        insert into live_counts (shard, count) values (pg_backend_pid() % 128, change)
        on conflict (shard) do update set count = live_counts.count + excluded.count;
    end if;
    return null;
end $$;

lock table tasks in share row exclusive mode;
insert into live_counts (shard, count) select 0, count(*) from tasks;
create trigger tasks_inserted after insert on tasks referencing new table as changed
    for each statement execute function taskmaster_count_live();
create trigger tasks_deleted after delete on tasks referencing old table as changed
    for each statement execute function taskmaster_count_live();
create trigger tasks_truncated after truncate on tasks
    for each statement execute function taskmaster_count_live();
