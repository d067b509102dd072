//! The query by which KEDA decides how many workers there are: it is in the Helm chart, and asks nothing but Postgres.

use taskmaster_core::{NewTask, When};
use taskmaster_store::{PgPool, finish};

use crate::support::{assign, completed, run, run_one, submit_all, task, tasks, worker};

const BACKLOG: &str = include_str!("../../../../deploy/helm/taskmaster/files/backlog.sql");

async fn backlog(pool: &PgPool) -> i64 {
    sqlx::query_scalar(BACKLOG).fetch_one(pool).await.unwrap()
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn counts_what_needs_a_slot_now(pool: PgPool) {
    assert_eq!(backlog(&pool).await, 0);
    let holder = worker(&pool, "w").await;
    let done = run_one(&pool, holder, task("done")).await;
    finish::finish(&pool, holder.worker_id, vec![completed(done)])
        .await
        .unwrap();
    assert_eq!(backlog(&pool).await, 0);
    run(&pool, holder, &tasks(2, 1)).await;
    assign(&pool, holder, &tasks(3, 1)).await;
    submit_all(&pool, &tasks(5, 1)).await;
    let tomorrow = NewTask {
        when: When::AfterSeconds(86_400),
        ..task("tomorrow")
    };
    submit_all(&pool, &[tomorrow]).await;
    assert_eq!(backlog(&pool).await, 2 + 3 + 5);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn stops_counting_where_it_does_not_matter_any_more(pool: PgPool) {
    sqlx::query("insert into tasks (id, command) select gen_random_uuid(), 'true' from generate_series(1, 10050)")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(backlog(&pool).await, 10_000);
}
