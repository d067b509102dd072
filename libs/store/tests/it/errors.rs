//! What goes wrong is told apart, and no message gives the password away.

use secrecy::SecretString;
use taskmaster_store::{Error, PgPool, StoreConfig, bounded, migrate, ping, submit};

use crate::support::{own_pool, task, tasks};

const PASSWORD: &str = "s3cr3t-pa55";

fn config(rest: &str) -> StoreConfig {
    let url = format!("postgres://someone:{PASSWORD}@{rest}");
    StoreConfig::new(SecretString::from(url), 2)
}

fn assert_keeps_the_secret(error: &Error) {
    let mut told = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        told += &format!(" {error} {error:?}");
        source = error.source();
    }
    assert!(!told.contains(PASSWORD), "{told}");
}

/// A port where nobody listens.
fn closed_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn a_server_that_is_not_there_may_come_back() {
    let config = config(&format!("127.0.0.1:{}/taskmaster", closed_port()));
    let error = config.connect().await.unwrap_err();
    assert!(error.is_unavailable() && !error.is_bad_data(), "{error}");
    assert_keeps_the_secret(&error);
    // The pool is made all the same, and waits for a while.
    let pool = config.pool().unwrap();
    let (ping, migrate) = tokio::join!(ping(&pool), migrate(&pool));
    for error in [ping.unwrap_err(), migrate.unwrap_err()] {
        assert!(error.is_unavailable(), "{error}");
        assert_keeps_the_secret(&error);
    }
}

#[tokio::test]
async fn an_address_that_cannot_be_read_is_told_without_the_password() {
    for rest in [
        "host:99999/db",
        "host:port/db",
        "host/db?sslmode=wrong",
        "[::1/db",
        "ho st/db",
    ] {
        let config = config(rest);
        let error = config.pool().unwrap_err();
        assert!(!error.is_unavailable(), "{error}");
        assert_keeps_the_secret(&error);
        assert_eq!(config.redacted(), "an address that cannot be read");
        assert!(!format!("{config:?}").contains(PASSWORD));
    }
}

#[test]
fn a_configuration_keeps_the_secret() {
    let config = config("db.example:5433/taskmaster");
    assert_eq!(config.redacted(), "db.example:5433");
    let told = format!("{config:?} {config:#?}");
    assert!(
        !told.contains(PASSWORD) && !told.contains("someone"),
        "{told}"
    );
}

#[sqlx::test(migrations = false)]
async fn a_database_that_does_not_exist_may_be_made_yet(pool: PgPool) {
    let options = pool.connect_options();
    let rest = format!("{}:{}/not-there", options.get_host(), options.get_port());
    let url = format!("postgres://{}:{PASSWORD}@{rest}", options.get_username());
    let config = StoreConfig::new(SecretString::from(url), 1);
    let error = config.connect().await.unwrap_err();
    // Or the password, where the server asks for one.
    assert!(error.is_unavailable(), "{error}");
    assert_keeps_the_secret(&error);
}

#[sqlx::test(migrations = false)]
async fn a_database_without_the_schema_may_get_it_yet(pool: PgPool) {
    let error = submit::submit(&pool, &[task("x")]).await.unwrap_err();
    assert!(
        matches!(error, Error::NotMigrated) && error.is_unavailable(),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_not_waited_for_without_end() {
    let never = std::future::pending::<taskmaster_store::Result<()>>();
    let error = bounded(never).await.unwrap_err();
    assert!(
        matches!(error, Error::NoAnswer) && error.is_unavailable(),
        "{error}"
    );
    bounded(async { Ok(()) }).await.unwrap();
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_connection_that_was_cut_may_come_back(pool: PgPool) {
    let mut connection = pool.acquire().await.unwrap();
    let cut = sqlx::query("select pg_terminate_backend(pg_backend_pid())")
        .execute(&mut *connection)
        .await;
    let error = Error::from(cut.unwrap_err());
    assert!(error.is_unavailable(), "{error}");
    drop(connection);
    // The next one gets another connection.
    submit::submit(&pool, &[task("x")]).await.unwrap();
}

async fn raised(pool: &PgPool, sqlstate: &str) -> Error {
    let raise = format!("do $$ begin raise sqlstate {sqlstate}; end $$");
    let result = sqlx::raw_sql(sqlx::AssertSqlSafe(raise))
        .execute(pool)
        .await;
    Error::from(result.unwrap_err())
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_is_refused_is_told_from_what_may_work_later(pool: PgPool) {
    // (SQLSTATE, may work later, the data is at fault)
    for (code, unavailable, bad_data) in [
        ("53000", true, false),
        ("53100", true, false),
        ("53200", true, false),
        ("08006", true, false),
        ("40001", true, false),
        ("40P01", true, false),
        ("28P01", true, false),
        ("3D000", true, false),
        ("53300", true, false),
        ("55P03", true, false),
        ("57014", true, false),
        ("57P01", true, false),
        ("57P03", true, false),
        ("58030", true, false),
        ("25006", true, false),
        ("22021", false, true),
        ("23514", false, true),
        ("54000", false, true),
        ("42703", false, false),
        ("42501", false, false),
    ] {
        let error = raised(&pool, &format!("'{code}' using constraint = 'c'")).await;
        assert_eq!(error.is_unavailable(), unavailable, "{code}");
        assert_eq!(error.is_bad_data(), bad_data, "{code}");
        let full = ["53000", "53100", "53200"].contains(&code);
        assert_eq!(error.is_full(), full, "{code}");
    }
    // A partition's bound, which has no name: the row was on its way to a partition that is being replaced.
    let error = raised(&pool, "'23514'").await;
    assert!(error.is_unavailable() && !error.is_bad_data(), "{error}");
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_standby_may_become_a_primary(pool: PgPool) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "alter database \"{}\" set default_transaction_read_only = on",
        pool.connect_options().get_database().unwrap()
    )))
    .execute(&pool)
    .await
    .unwrap();
    let own = own_pool(&pool, 1);
    let error = submit::submit(&own, &tasks(1, 1)).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    own.close().await;
}
