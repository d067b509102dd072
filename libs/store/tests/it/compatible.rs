//! An upgrade runs beside the version before it: migrations only add, and what the version before says to Postgres
//! still means the same.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::migrate::Migrator;
use sqlx::{
    AssertSqlSafe, Column, Connection, Either, Executor, PgConnection, SqlSafeStr, Statement,
    TypeInfo,
};
use taskmaster_store::PgPool;
use taskmaster_testkit::TestDatabase;

use crate::support::MIGRATOR;

/// The statements of the version before, and the newest migration that it knew. Made anew at each release, from its
/// `.sqlx/`: CONTRIBUTING.md has the command.
const PREVIOUS: &str = include_str!("../previous.json");

/// A column, a constraint or a unique index of a relation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
struct Part {
    /// The table or view.
    relation: String,
    /// All that there is to say about it, as Postgres says it.
    definition: String,
    /// The columns that it is about.
    columns: Vec<String>,
    /// Whether a row can be refused for it: a column without a default that must not be null, every constraint.
    demands: bool,
}

/// What a program can rely on, and what can refuse its rows.
#[derive(Debug)]
struct Schema {
    columns: BTreeSet<Part>,
    rules: BTreeSet<Part>,
    /// Functions, with what they take, give and do; indexes; the names of constraints, by which errors are told apart.
    named: BTreeSet<(String, String)>,
    /// They change what a statement does that knows nothing of them.
    triggers: BTreeSet<(String, String)>,
}

impl Schema {
    async fn read(connection: &mut PgConnection) -> Self {
        let columns = sqlx::query_as(
            "select c.relname::text as relation, array[a.attname::text] as columns,
                concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod),
                    case when a.attnotnull then 'not null' end, 'default ' || pg_get_expr(d.adbin, d.adrelid), nullif(a.attidentity, '')) as definition,
                a.attnotnull and d.adbin is null and a.attidentity = '' as demands
             from pg_class c
             join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
             where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')",
        );
        let rules = sqlx::query_as(
            "select c.conrelid::regclass::text as relation, pg_get_constraintdef(c.oid) as definition, true as demands,
                array(select attname::text from pg_attribute
                    where attrelid = c.conrelid and attnum = any (c.conkey)) as columns
             from pg_constraint c where c.connamespace = 'public'::regnamespace and c.conrelid <> 0
             union all
             select i.indrelid::regclass::text,
                regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING ', 'unique '), true,
                array(select attname::text from pg_attribute where attrelid = i.indrelid and attnum = any (i.indkey))
             from pg_index i join pg_class c on c.oid = i.indrelid
             where c.relnamespace = 'public'::regnamespace and i.indisunique",
        );
        let named = sqlx::query_as(
            "select 'function', format('%s returns %s: %s', oid::regprocedure, pg_get_function_result(oid), md5(prosrc))
             from pg_proc where pronamespace = 'public'::regnamespace
             union all
             select 'index', indexdef from pg_indexes where schemaname = 'public'
             union all
             select 'constraint', format('%s of %s', conname, conrelid::regclass) from pg_constraint
             where connamespace = 'public'::regnamespace and conrelid <> 0",
        );
        let triggers = sqlx::query_as(
            "select tgrelid::regclass::text, tgname::text from pg_trigger where not tgisinternal
             union all
             select ev_class::regclass::text, rulename::text from pg_rewrite where rulename <> '_RETURN'
                and ev_class in (select oid from pg_class where relnamespace = 'public'::regnamespace)",
        );
        Self {
            columns: set(columns.fetch_all(&mut *connection).await),
            rules: set(rules.fetch_all(&mut *connection).await),
            named: set(named.fetch_all(&mut *connection).await),
            triggers: set(triggers.fetch_all(&mut *connection).await),
        }
    }

    /// What a program that knows only `self` would stumble over in `newer`.
    fn broken_by(&self, newer: &Self) -> Vec<String> {
        let known: BTreeSet<&str> = self
            .columns
            .iter()
            .map(|column| &*column.relation)
            .collect();
        let is_new = |part: &Part| {
            let same = |old: &Part| old.relation == part.relation && old.columns == part.columns;
            !self.columns.iter().any(same)
        };
        let new_column = |rule: &Part| {
            newer.columns.iter().any(|column| {
                let its =
                    column.relation == rule.relation && rule.columns.contains(&column.columns[0]);
                its && is_new(column)
            })
        };
        let gone = |what: &str, parts: Vec<&Part>| -> Vec<String> {
            let shown =
                |part: &Part| format!("{what} gone: {}: {}", part.relation, part.definition);
            parts.into_iter().map(shown).collect()
        };
        let mut broken = gone("column", self.columns.difference(&newer.columns).collect());
        broken.extend(gone("rule", self.rules.difference(&newer.rules).collect()));
        let named = self.named.difference(&newer.named);
        broken.extend(named.map(|(kind, name)| format!("{kind} gone: {name}")));
        for column in newer.columns.difference(&self.columns) {
            if known.contains(&*column.relation) && column.demands {
                broken.push(format!(
                    "must be given: {}: {}",
                    column.relation, column.definition
                ));
            }
        }
        // One about a new column holds for rows without it: they have its default, which every row has at first.
        for rule in newer.rules.difference(&self.rules) {
            if known.contains(&*rule.relation) && !new_column(rule) {
                broken.push(format!("new rule: {}: {}", rule.relation, rule.definition));
            }
        }
        for (relation, name) in newer.triggers.difference(&self.triggers) {
            if known.contains(&**relation) && !COUNTING.contains(&&**name) {
                broken.push(format!("new trigger: {relation}: {name}"));
            }
        }
        broken
    }
}

/// Triggers that refuse nothing and leave the rows as they are: they are there so that the older version is counted too.
const COUNTING: [&str; 3] = ["tasks_inserted", "tasks_deleted", "tasks_truncated"];

fn set<T: Ord>(rows: sqlx::Result<Vec<T>>) -> BTreeSet<T> {
    rows.unwrap().into_iter().collect()
}

/// The migrations up to `version`.
fn up_to(version: i64) -> Migrator {
    let known = MIGRATOR
        .iter()
        .filter(|migration| migration.version <= version);
    Migrator::with_migrations(known.cloned().collect())
}

#[sqlx::test(migrations = false)]
async fn a_migration_only_adds(pool: PgPool) {
    let mut connection = pool.acquire().await.unwrap();
    let mut before: Option<Schema> = None;
    for migration in MIGRATOR.iter() {
        up_to(migration.version)
            .run(&mut *connection)
            .await
            .unwrap();
        let after = Schema::read(&mut connection).await;
        let broken = before.map(|before| before.broken_by(&after));
        assert_eq!(
            broken.unwrap_or_default(),
            [""; 0],
            "{}",
            migration.description
        );
        before = Some(after);
    }
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn what_is_no_addition_is_found(pool: PgPool) {
    let mut connection = pool.acquire().await.unwrap();
    let before = Schema::read(&mut connection).await;
    for (change, expected) in [
        ("alter table tasks rename stdin to input", "column gone"),
        (
            "alter table workers alter name drop not null",
            "column gone",
        ),
        (
            "alter table tasks alter timeout_seconds type bigint",
            "column gone",
        ),
        (
            "alter table tasks add region text not null",
            "must be given",
        ),
        (
            "alter table tasks alter stdin set not null",
            "must be given",
        ),
        ("alter table tasks add check (priority < 100)", "new rule"),
        ("create unique index on tasks (command)", "new rule"),
        (
            "alter table workers drop constraint workers_name_key",
            "rule gone",
        ),
        (
            "drop function taskmaster_ensure_partition(text, text, date)",
            "function gone",
        ),
        (
            "create or replace function taskmaster_ensure_partition(parent text, column_name text, day date)
             returns boolean language sql as 'select false'",
            "function gone",
        ),
        ("drop index tasks_held", "index gone"),
        (
            "alter table workers rename constraint workers_name_key to workers_name_unique",
            "constraint gone",
        ),
        (
            "create rule quiet as on delete to workers do instead nothing",
            "new trigger",
        ),
    ] {
        let mut transaction = connection.begin().await.unwrap();
        // Views stand in the way of some.
        for statement in ["drop view all_tasks", change] {
            sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        let after = Schema::read(&mut transaction).await;
        let broken = before.broken_by(&after);
        let found =
            |broken: &&String| !broken.contains("all_tasks") && broken.starts_with(expected);
        assert!(
            broken.iter().any(|broken| found(&broken)),
            "{change}: {broken:?}"
        );
        transaction.rollback().await.unwrap();
    }
    for addition in [
        "create table extra (id integer primary key, name text not null unique)",
        "alter table tasks add region text not null default 'eu' check (region <> '')",
        "create index on tasks (command)",
    ] {
        let mut transaction = connection.begin().await.unwrap();
        let statement = sqlx::raw_sql(AssertSqlSafe(addition.to_owned()));
        statement.execute(&mut *transaction).await.unwrap();
        let after = Schema::read(&mut transaction).await;
        assert_eq!(before.broken_by(&after), [""; 0], "{addition}");
        transaction.rollback().await.unwrap();
    }
}

/// What a statement takes and gives: the names of types, and of columns with their types.
async fn described(connection: &mut PgConnection, statement: &str) -> Result<String, sqlx::Error> {
    let sql = AssertSqlSafe(statement.to_owned()).into_sql_str();
    let prepared = connection.prepare(sql).await?;
    let takes: Vec<String> = match prepared.parameters() {
        Some(Either::Left(types)) => types.iter().map(|kind| kind.name().to_owned()).collect(),
        _ => Vec::new(),
    };
    let column = |column: &sqlx::postgres::PgColumn| {
        format!("{}: {}", column.name(), column.type_info().name())
    };
    let gives: Vec<String> = prepared.columns().iter().map(column).collect();
    Ok(format!("{takes:?} -> {gives:?}"))
}

#[sqlx::test(migrator = "MIGRATOR")]
async fn the_statements_of_the_version_before_mean_the_same(pool: PgPool) {
    let previous: Value = serde_json::from_str(PREVIOUS).unwrap();
    let old = TestDatabase::create_empty().await.unwrap();
    up_to(previous["schema"].as_i64().unwrap())
        .run(old.pool())
        .await
        .unwrap();
    let mut old = old.pool().acquire().await.unwrap();
    let mut new = pool.acquire().await.unwrap();
    let statements = previous["statements"].as_array().unwrap();
    assert!(statements.len() > 40, "{}", statements.len());
    for statement in statements {
        let statement = statement.as_str().unwrap();
        let then = described(&mut old, statement).await.unwrap();
        let now = described(&mut new, statement).await;
        assert_eq!(
            now.map_err(|error| error.to_string()),
            Ok(then),
            "{statement}"
        );
    }
}
