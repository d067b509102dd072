//! What the autoscaler is set to, and what it decided.

use chrono::{DateTime, Utc};
use serde_json::json;
use taskmaster_core::autoscale::{Decision, Reason, Settings, SettingsPatch};
use taskmaster_store::PgPool;
use taskmaster_store::autoscaler::{
    self, MOST_DECISIONS, Outcome, Recorded, clean, decisions, observe, pin, record, settings,
};
use taskmaster_store::{Result as StoreResult, audit};
use uuid::Uuid;

async fn execute(pool: &PgPool, statement: &'static str) {
    let done = sqlx::query(statement).execute(pool).await.unwrap();
    assert_ne!(done.rows_affected(), 0, "{statement}");
}

async fn change<E>(
    pool: &PgPool,
    how: impl FnOnce(Settings) -> Result<Settings, E>,
) -> StoreResult<Result<Settings, E>> {
    let new = audit::New {
        id: Uuid::now_v7(),
        caller: "somebody",
        action: "fleet.autoscaler",
        fleet: "docker",
        request: &json!({"max": 7}),
        reason: None,
    };
    autoscaler::change(pool, &new, how).await
}

fn set(change: SettingsPatch) -> impl FnOnce(Settings) -> Result<Settings, String> {
    move |settings| Ok(change.apply(settings))
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn it_is_off_until_it_is_switched_on(pool: PgPool) {
    assert_eq!(settings(&pool).await.unwrap(), Settings::default());
    let on = SettingsPatch {
        enabled: Some(true),
        max: Some(7),
        ..SettingsPatch::default()
    };
    let expected = Settings {
        enabled: true,
        max: 7,
        ..Settings::default()
    };
    assert_eq!(change(&pool, set(on)).await.unwrap(), Ok(expected));
    assert_eq!(settings(&pool).await.unwrap(), expected);

    let refused = change(&pool, |_| Err::<Settings, _>("no")).await.unwrap();
    assert_eq!(refused, Err("no"));
    assert_eq!(settings(&pool).await.unwrap(), expected);
    let impossible = change(&pool, |settings| {
        Ok::<_, ()>(Settings { min: 8, ..settings })
    });
    assert!(impossible.await.is_err(), "the table has its own opinion");
    assert_eq!(settings(&pool).await.unwrap(), expected);
    // Who did it is written down, and nothing is of what was not done.
    let audited = audit::list(&pool, None, 10).await.unwrap();
    let [entry] = audited.as_slice() else {
        panic!("{audited:?}")
    };
    assert_eq!(
        (&*entry.caller, &*entry.action, entry.outcome.as_deref()),
        ("somebody", "fleet.autoscaler", Some("done"))
    );
    assert!(entry.finished_at.is_some() && entry.decided_at.is_some());
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn two_changes_at_once_are_both_made(pool: PgPool) {
    let min = SettingsPatch {
        min: Some(3),
        ..SettingsPatch::default()
    };
    let max = SettingsPatch {
        max: Some(30),
        ..SettingsPatch::default()
    };
    let (one, other) = tokio::join!(change(&pool, set(min)), change(&pool, set(max)));
    assert!(one.unwrap().is_ok() && other.unwrap().is_ok());
    let now = settings(&pool).await.unwrap();
    assert_eq!((now.min, now.max), (3, 30));
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn only_what_is_switched_on_is_pinned_and_only_once(pool: PgPool) {
    assert!(!pin(&pool).await.unwrap());
    let dry = SettingsPatch {
        enabled: Some(true),
        dry_run: Some(true),
        ..SettingsPatch::default()
    };
    change(&pool, set(dry)).await.unwrap().unwrap();
    assert!(
        !pin(&pool).await.unwrap(),
        "a dry run changes nothing that it could be kept from"
    );
    let on = SettingsPatch {
        dry_run: Some(false),
        ..SettingsPatch::default()
    };
    change(&pool, set(on)).await.unwrap().unwrap();
    assert!(pin(&pool).await.unwrap());
    assert!(!pin(&pool).await.unwrap());
    assert!(settings(&pool).await.unwrap().pinned);
    let released = SettingsPatch {
        pinned: Some(false),
        ..SettingsPatch::default()
    };
    change(&pool, set(released)).await.unwrap().unwrap();
    assert!(!settings(&pool).await.unwrap().pinned);
}

fn decision(from: u32, to: u32) -> Decision {
    let reason = if from == to {
        Reason::Pinned
    } else {
        Reason::BelowMin { min: to }
    };
    Decision { from, to, reason }
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_is_decided_again_is_recorded_once(pool: PgPool) {
    let seen = observe(&pool, 1, 60).await.unwrap();
    let mut recorded = Vec::new();
    for (decision, dry_run, outcome) in [
        (decision(1, 1), false, Outcome::Kept),
        (decision(1, 1), false, Outcome::Kept),
        (decision(1, 3), true, Outcome::Kept),
        (decision(1, 3), true, Outcome::Kept),
        // Back and forth within a minute.
        (decision(1, 1), false, Outcome::Kept),
        (decision(1, 3), false, Outcome::Failed("no room".to_owned())),
        (decision(1, 3), false, Outcome::Failed("no room".to_owned())),
        (decision(1, 3), false, Outcome::Applied),
        (decision(3, 1), false, Outcome::Applied),
        (decision(1, 3), false, Outcome::Applied),
    ] {
        let written = record(&pool, &decision, &seen, dry_run, &outcome).await;
        recorded.push(written.unwrap());
    }
    let (yes, no) = (true, false);
    assert_eq!(recorded, [yes, no, yes, no, no, yes, no, yes, yes, yes]);

    let all = decisions(&pool, None, 100).await.unwrap();
    assert!(all.is_sorted_by(|newer, older| newer.id > older.id));
    let failed = &all[3];
    assert_eq!(
        (
            failed.from,
            failed.to,
            failed.applied,
            failed.error.as_deref()
        ),
        (1, 3, false, Some("no room"))
    );
    assert_eq!(failed.kind, "below_min");
    assert_eq!(failed.reason, "there are to be 3 workers at least");
    assert_eq!(failed.observation, serde_json::to_value(&seen).unwrap());
    assert!(all[4].dry_run && !all[4].applied);
    let page = decisions(&pool, Some(all[1].id), 2).await.unwrap();
    let ids = |rows: &[Recorded]| -> Vec<i64> { rows.iter().map(|row| row.id).collect() };
    assert_eq!(ids(&page), ids(&all[2..4]));

    // What was carried out, and only that, is what the cool-downs begin at.
    execute(
        &pool,
        "update autoscaler_decisions set at = now() - interval '10 s' where applied and to_workers = 1",
    )
    .await;
    let seen = observe(&pool, 1, 60).await.unwrap();
    let ago = |at: Option<DateTime<Utc>>| (seen.at - at.unwrap()).num_seconds();
    assert_eq!(seen.last_scale_up_at, Some(all[0].at));
    assert_eq!(ago(seen.last_scale_down_at), 10);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn old_decisions_are_forgotten(pool: PgPool) {
    let seen = observe(&pool, 1, 60).await.unwrap();
    let insert = "insert into autoscaler_decisions (from_workers, to_workers, kind, reason, observation, dry_run, applied)
         select 1, 1, 'fits', '', '{}', false, false from generate_series(1, 10000)";
    record(&pool, &decision(1, 2), &seen, false, &Outcome::Applied)
        .await
        .unwrap();
    execute(&pool, insert).await;
    assert_eq!(clean(&pool, 30).await.unwrap(), 1, "{MOST_DECISIONS} stay");
    execute(
        &pool,
        "update autoscaler_decisions set at = now() - interval '31 days' where id <= 5000",
    )
    .await;
    assert_eq!(clean(&pool, 30).await.unwrap(), 4999);
    assert_eq!(clean(&pool, 30).await.unwrap(), 0);
}
