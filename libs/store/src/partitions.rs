//! The daily partitions of history, attempts and output: made ahead of time, dropped when they are too old.

use sqlx::{Connection, PgConnection};

use crate::{PgPool, Result, acquire};

/// How many days ahead partitions are made, so that a coordinator may be away for a fortnight.
pub const DAYS_AHEAD: i32 = 14;

/// Makes the partitions from yesterday to `days_ahead` days from now that are not there yet, and those of days whose
/// rows went to the default partition; returns how many.
///
/// # Errors
/// When Postgres is away, or a reader holds on to a default partition for too long: try again later.
pub async fn ensure(pool: &PgPool, days_ahead: i32) -> Result<usize> {
    let mut connection = acquire(pool).await?;
    let mut transaction = connection.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock(hashtext('taskmaster partitions'))")
        .execute(&mut *transaction)
        .await?;
    wait_briefly(&mut transaction).await?;
    let made = sqlx::query_scalar!(
        r#"
        with parents (parent, column_name) as (
            values ('finished_tasks', 'finished_at'), ('attempts', 'finished_at'), ('output', 'written_at')
        ),
        days (parent, day) as (
            select p.parent, d::date
            from parents p, generate_series((now() at time zone 'UTC')::date - 1,
                (now() at time zone 'UTC')::date + $1::integer, interval '1 day') as d
            union select 'finished_tasks', (finished_at at time zone 'UTC')::date from finished_tasks_default
            union select 'attempts', (finished_at at time zone 'UTC')::date from attempts_default
            union select 'output', (written_at at time zone 'UTC')::date from output_default
        ),
        -- In the order in which a retry by hand locks them.
        wanted as materialized (
            select parent, column_name, day from days join parents using (parent) order by parent desc, day
        )
        select taskmaster_ensure_partition(parent, column_name, day) as "made!" from wanted
        "#,
        days_ahead
    )
    .fetch_all(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(made.into_iter().filter(|made| *made).count())
}

/// What is wrong with the partitions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Those of today and the days ahead that are not there, or are tables of that name that belong to nothing.
    pub missing: Vec<String>,
    /// How many rows the default partitions hold: of days that have no partition.
    pub in_default: i64,
}

/// Looks for what [`ensure`] would make, from today on.
///
/// # Errors
/// When Postgres is away, or has no schema yet.
pub async fn gaps(pool: &PgPool, days_ahead: i32) -> Result<Gaps> {
    let in_default = sqlx::query_scalar!(
        r#"
        select (select count(*) from finished_tasks_default) + (select count(*) from attempts_default)
            + (select count(*) from output_default) as "rows!"
        "#
    )
    .fetch_one(&mut *acquire(pool).await?)
    .await?;
    let missing = sqlx::query_scalar!(
        r#"
        select w.name as "name!"
        from (
            select parent, format('%s_%s', parent, to_char((now() at time zone 'UTC')::date + d, 'YYYYMMDD')) as name
            from unnest(array['finished_tasks', 'attempts', 'output']) as parent, generate_series(0, $1::integer) as d
        ) w
        where not exists (
            select from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = w.parent::regclass and c.relname = w.name
        )
        order by 1
        "#,
        days_ahead
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    Ok(Gaps {
        missing,
        in_default,
    })
}

/// Drops what finished more than `retention_days` days ago, whole days at a time; returns how many partitions went.
///
/// # Errors
/// When Postgres is away, or a reader holds on to a partition for too long: try again later.
pub async fn drop_older_than(pool: &PgPool, retention_days: i32) -> Result<usize> {
    let old = sqlx::query_scalar!(
        r#"
        select c.relname::text as "name!"
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        join pg_class p on p.oid = i.inhparent
        where p.relname in ('finished_tasks', 'attempts', 'output') and p.relnamespace = 'public'::regnamespace
          and c.relname ~ '_[0-9]{8}$'
          and to_date(right(c.relname, 8), 'YYYYMMDD') < (now() at time zone 'UTC')::date - $1::integer
        order by 1
        "#,
        retention_days
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    for name in &old {
        let mut connection = acquire(pool).await?;
        let mut transaction = connection.begin().await?;
        wait_briefly(&mut transaction).await?;
        // The name comes from the catalogue and matched the pattern above.
        sqlx::query(sqlx::AssertSqlSafe(format!("drop table \"{name}\"")))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
    }
    sqlx::query!(
        "delete from finished_counts where day < (now() at time zone 'UTC')::date - $1::integer",
        retention_days
    )
    .execute(&mut *acquire(pool).await?)
    .await?;
    Ok(old.len())
}

/// Making and dropping partitions waits for who reads them, such as a backup, and everyone else then waits for that.
async fn wait_briefly(transaction: &mut PgConnection) -> Result<()> {
    sqlx::query("set local lock_timeout = '2s'")
        .execute(transaction)
        .await?;
    Ok(())
}
