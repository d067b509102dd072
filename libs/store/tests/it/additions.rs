//! A migration may only add, so that the previous version works on the new schema: services are upgraded one after the
//! other.

use std::collections::BTreeMap;

use sqlx::migrate::Migrator;
use taskmaster_store::PgPool;

use crate::support::MIGRATOR;

/// The newest migration of version 0.1.0, whose services must work on every later schema.
const BEFORE: i64 = 20_261_123_000_004;

/// What a statement of an older program relies on, by its name.
async fn relied_on(pool: &PgPool) -> BTreeMap<String, String> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select format('%s.%s', table_name, column_name),
             format('%s nullable %s default %s', udt_name, is_nullable, column_default)
         from information_schema.columns where table_schema = 'public'
         union all
         select format('constraint %s of %s', conname, conrelid::regclass), pg_get_constraintdef(oid)
         from pg_constraint where connamespace = 'public'::regnamespace
         union all
         select 'index ' || indexname, indexdef from pg_indexes where schemaname = 'public'
         union all
         select 'function ' || oid::regprocedure, md5(prosrc) from pg_proc
         where pronamespace = 'public'::regnamespace",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    rows.into_iter()
        .filter(|(name, _)| !name.contains("_sqlx_migrations"))
        .collect()
}

/// The table of a column's or a constraint's name.
fn table(name: &str) -> Option<&str> {
    let constraint = name.strip_prefix("constraint ");
    match constraint {
        Some(constraint) => constraint.rsplit_once(' ').map(|(_, table)| table),
        None => name.split_once('.').map(|(table, _)| table),
    }
}

#[sqlx::test(migrations = false)]
async fn later_migrations_only_add(pool: PgPool) {
    let (older, later): (Vec<_>, Vec<_>) = MIGRATOR
        .iter()
        .cloned()
        .partition(|migration| migration.version <= BEFORE);
    assert!(!later.is_empty());
    Migrator::with_migrations(older).run(&pool).await.unwrap();
    let before = relied_on(&pool).await;
    assert!(before.contains_key("tasks.lease"), "{before:#?}");
    MIGRATOR.run(&pool).await.unwrap();
    let after = relied_on(&pool).await;
    for (name, definition) in &before {
        assert_eq!(after.get(name), Some(definition), "{name}");
    }
    // A table that was there may get columns that an older program does not fill in, and nothing that it may violate.
    let tables: Vec<_> = before.keys().filter_map(|name| table(name)).collect();
    for (name, definition) in after {
        let is_old =
            before.contains_key(&name) || !table(&name).is_some_and(|t| tables.contains(&t));
        if is_old {
            continue;
        }
        let optional = definition.contains("nullable YES") || !definition.ends_with("default ");
        assert!(
            !name.starts_with("constraint ") && optional,
            "{name}: {definition}"
        );
    }
}
