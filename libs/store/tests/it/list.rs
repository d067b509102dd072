//! Pages of tasks, live and finished alike.

use taskmaster_core::{NewTask, TaskStatus, When};
use taskmaster_store::tasks::{Filter, get_many, list};
use taskmaster_store::{PgPool, cancel, finish};
use uuid::Uuid;

use crate::explain::{Mode, plan_carried_out};
use crate::support::{
    assign, completed, failed, get, ids, run, sorted, submit_all, task, tasks, worker,
};

async fn page(pool: &PgPool, filter: Filter) -> Vec<Uuid> {
    let page = list(pool, &filter).await.unwrap();
    page.tasks.into_iter().map(|task| task.id).collect()
}

fn all() -> Filter {
    Filter {
        limit: 100,
        ..Filter::default()
    }
}

/// One task in each status, in the order of [`TaskStatus::ALL`], and one more that is scheduled for later.
async fn one_of_each(pool: &PgPool) -> Vec<Uuid> {
    let holder = worker(pool, "first").await;
    let other = worker(pool, "second").await;
    let ended = run(pool, holder, &tasks(3, 1)).await;
    finish::finish(pool, 0, vec![completed(ended[0]), failed(ended[1])])
        .await
        .unwrap();
    let waiting = task("to be cancelled");
    let running = run(pool, other, &tasks(1, 1)).await[0];
    let assigned = assign(pool, holder, &tasks(1, 1)).await[0];
    let scheduled = NewTask {
        when: When::AfterSeconds(60),
        ..task("later")
    };
    submit_all(pool, &[scheduled.clone(), waiting.clone()]).await;
    cancel::cancel(pool, waiting.id).await.unwrap();
    finish::finish(pool, 0, vec![completed(ended[2])])
        .await
        .unwrap();
    vec![
        scheduled.id,
        assigned.id,
        running.id,
        ended[0].id,
        ended[1].id,
        waiting.id,
        ended[2].id,
    ]
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn newest_first_live_and_finished_mixed(pool: PgPool) {
    let ids = one_of_each(&pool).await;
    let mut newest_first = sorted(ids);
    newest_first.reverse();
    assert_eq!(page(&pool, all()).await, newest_first);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn by_status(pool: PgPool) {
    let ids = one_of_each(&pool).await;
    for (status, id) in TaskStatus::ALL.into_iter().zip(&ids) {
        let filter = Filter {
            statuses: vec![status],
            ..all()
        };
        let tasks = list(&pool, &filter).await.unwrap().tasks;
        assert!(tasks.iter().all(|task| task.status == status));
        assert!(tasks.iter().any(|task| task.id == *id), "{status}");
        let count = if status == TaskStatus::Completed {
            2
        } else {
            1
        };
        assert_eq!(tasks.len(), count, "{status}");
    }
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn by_several_statuses(pool: PgPool) {
    use TaskStatus::{Assigned, Completed, Failed, Running, Scheduled};
    let ids = one_of_each(&pool).await;
    let each = TaskStatus::ALL.into_iter().chain([Completed]);
    let each: Vec<(TaskStatus, Uuid)> = each.zip(ids).collect();
    for statuses in [
        vec![Running, Failed],
        vec![Running, Assigned],
        vec![Scheduled, Running],
        vec![Failed, Completed, Failed],
        TaskStatus::ALL.to_vec(),
    ] {
        let wanted = each.iter().filter(|(status, _)| statuses.contains(status));
        let mut wanted = sorted(wanted.map(|(_, id)| *id));
        wanted.reverse();
        let filter = |limit| Filter {
            statuses: statuses.clone(),
            limit,
            ..Filter::default()
        };
        assert_eq!(page(&pool, filter(100)).await, wanted, "{statuses:?}");
        assert_eq!(page(&pool, filter(1)).await, wanted[..1], "{statuses:?}");
    }
}

/// However many there are in the others.
#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_page_of_a_rare_status_reads_little(pool: PgPool) {
    let mut connection = pool.acquire().await.unwrap();
    sqlx::raw_sql(
        "insert into tasks (id, command, scheduled_at)
         select gen_random_uuid(), 'x', now() + interval '1 day' from generate_series(1, 20000);
         insert into tasks (id, command, status, picked_at, started_at, assigned_worker, attempt)
         values ('00000000-0000-0000-0000-000000000099', 'x', 'running', now(), now(), 1, 1);
         insert into finished_tasks (id, command, executor, priority, status, outcome, lease, attempt, max_attempts,
             created_at, scheduled_at, started_at, finished_at)
         select case status when 'failed' then lpad(n::text, 32, '0')::uuid else gen_random_uuid() end, 'x', 'simulate',
             0, status, status, 1, 1, 1, now(), now(), now(), now()
         from generate_series(1, 20000) n, lateral (select case when n <= 5 then 'failed' else 'completed' end) s(status);
         analyze",
    )
    .execute(&mut *connection)
    .await
    .unwrap();
    let sql = include_str!("../../src/tasks.sql");
    for (statuses, count) in [
        ("failed", 5),
        ("running", 1),
        ("failed, cancelled, running", 6),
    ] {
        let arguments = [
            "null",
            &format!("'{{{statuses}}}'"),
            "null",
            "51",
            "null",
            "null",
            "51",
        ]
        .map(str::to_owned);
        let plan = plan_carried_out(&mut connection, Mode::Custom, sql, &arguments).await;
        assert!(plan.0[0].blocks < 150.0, "{statuses}: {plan:#?}");
        let filter = Filter {
            statuses: statuses
                .split(", ")
                .map(|status| status.parse().unwrap())
                .collect(),
            ..all()
        };
        assert_eq!(page(&pool, filter).await.len(), count, "{statuses}");
    }
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn by_worker(pool: PgPool) {
    let ids = one_of_each(&pool).await;
    let of = |name: &str| Filter {
        worker: Some(name.to_owned()),
        ..all()
    };
    assert_eq!(page(&pool, of("second")).await, [ids[2]]);
    let first = [ids[1], ids[3], ids[4], ids[6]];
    assert_eq!(sorted(page(&pool, of("first")).await), sorted(first));
    assert!(page(&pool, of("nobody")).await.is_empty());
    let narrow = Filter {
        statuses: vec![TaskStatus::Completed, TaskStatus::Running],
        text: Some("ECHO 2".to_owned()),
        ..of("first")
    };
    assert_eq!(page(&pool, narrow).await, [ids[6]]);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn by_text_as_it_is(pool: PgPool) {
    let commands = [
        "tar -cf 100%.tar",
        "tar -cf 1000.tar",
        "make_all",
        "makeXall",
        r"dir C:\temp",
        "dir C:temp",
        "Größe 'x' \"y\"",
        "",
    ];
    let commands = &commands[..7];
    let new: Vec<NewTask> = commands.iter().map(|command| task(command)).collect();
    submit_all(&pool, &new).await;
    for (text, found) in [
        ("100%.tar", &[0][..]),
        ("%", &[0]),
        ("make_all", &[2]),
        ("_", &[2]),
        (r"C:\t", &[4]),
        (r"\", &[4]),
        ("TAR", &[0, 1]),
        ("größe", &[6]),
        ("'x'", &[6]),
        ("", &[0, 1, 2, 3, 4, 5, 6]),
        ("nothing like it", &[]),
    ] {
        let filter = Filter {
            text: Some(text.to_owned()),
            ..all()
        };
        let expected = found.iter().map(|i| new[*i].id);
        assert_eq!(
            sorted(page(&pool, filter).await),
            sorted(expected),
            "{text}"
        );
    }
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn a_walk_with_the_cursor_meets_each_once(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let mut everything = Vec::new();
    for _ in 0..5 {
        let held = run(&pool, holder, &tasks(7, 1)).await;
        let ends = held
            .iter()
            .step_by(2)
            .map(|task| completed(*task))
            .collect();
        finish::finish(&pool, holder.worker_id, ends).await.unwrap();
        everything.extend(ids(&held));
    }
    let mut newest_first = sorted(everything);
    newest_first.reverse();
    for limit in [1, 4, 35, 36] {
        let mut walked: Vec<Uuid> = Vec::new();
        loop {
            let filter = Filter {
                before: walked.last().copied(),
                limit,
                ..Filter::default()
            };
            let page = page(&pool, filter).await;
            assert!(page.len() as i64 <= limit);
            if page.is_empty() {
                break;
            }
            walked.extend(page);
            // What comes in meanwhile is newer than the whole walk, and what moves is still there once.
            submit_all(&pool, &[]).await;
        }
        assert_eq!(walked, newest_first, "limit {limit}");
    }
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_moves_during_a_walk_is_met_once(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let held = run(&pool, holder, &tasks(20, 1)).await;
    let mut walked: Vec<Uuid> = Vec::new();
    for task in &held {
        let filter = Filter {
            before: walked.last().copied(),
            limit: 1,
            ..Filter::default()
        };
        walked.extend(page(&pool, filter).await);
        finish::finish(&pool, holder.worker_id, vec![completed(*task)])
            .await
            .unwrap();
        submit_all(&pool, &tasks(1, 1)).await;
    }
    let mut newest_first = sorted(ids(&held));
    newest_first.reverse();
    assert_eq!(walked, newest_first);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn some_by_id(pool: PgPool) {
    let wanted = one_of_each(&pool).await;
    let asked = [&wanted[..], &[Uuid::now_v7()], &wanted[..1]].concat();
    let found = get_many(&pool, &asked).await.unwrap();
    assert_eq!(
        sorted(found.iter().map(|task| task.id)),
        sorted(wanted.clone())
    );
    assert!(found.is_sorted_by(|a, b| a.id > b.id));
    for task in found {
        assert_eq!(task.status, get(&pool, task.id).await.status);
        assert_eq!(task.task_lease().lease, task.lease);
    }
    assert!(get_many(&pool, &[]).await.unwrap().is_empty());
    let unknown = taskmaster_store::tasks::get(&pool, Uuid::now_v7()).await;
    assert!(unknown.unwrap().is_none());
}
