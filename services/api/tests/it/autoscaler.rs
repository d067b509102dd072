//! How the autoscaler is set, what it says of itself, and what it foresees. What it does with a fleet is a matter of the
//! whole system.

use serde_json::{Value, json};
use taskmaster_core::autoscale::{Decision, Reason};
use taskmaster_store::autoscaler::{self, Outcome};

use crate::answer::Answer;
use crate::api::TestApi;
use crate::audit::entries;
use crate::bad_input::refused;
use crate::fleet::fleet;
use crate::stand_in::StandIn;

async fn set(api: &TestApi, settings: Value) -> Answer {
    api.put("/api/v1/fleet", json!({"autoscaler": settings}))
        .await
}

async fn shown(api: &TestApi) -> Value {
    api.get("/api/v1/fleet").await.json(200)["autoscaler"].take()
}

#[tokio::test]
async fn what_is_not_given_stays() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 1).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let mut expected = json!({
        "enabled": false, "dry_run": false, "pinned": false, "min": 1, "max": 10, "target_seconds": 60,
        "scale_up_cooldown_seconds": 15, "scale_down_cooldown_seconds": 300, "max_step_up": 4, "max_step_down": 4,
        "last_decision": null,
    });
    assert_eq!(shown(&api).await, expected);

    let answer = set(&api, json!({"enabled": true, "max": 20}))
        .await
        .json(200);
    expected["enabled"] = json!(true);
    expected["max"] = json!(20);
    assert_eq!(answer["autoscaler"], expected);
    assert_eq!(answer["desired"], 1);
    let answer = set(&api, json!({"min": 2, "dry_run": true}))
        .await
        .json(200);
    expected["min"] = json!(2);
    expected["dry_run"] = json!(true);
    assert_eq!(answer["autoscaler"], expected);
    assert_eq!(set(&api, json!({})).await.json(200)["autoscaler"], expected);
    assert_eq!(shown(&api).await, expected);
    fleet.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_is_told_by_its_field() {
    let api = TestApi::start().await;
    for (settings, field, what) in [
        (json!({"min": 0}), "autoscaler.min", "from 1 to 50"),
        (json!({"max": 51}), "autoscaler.max", "from 1 to 50"),
        (json!({"min": 11}), "autoscaler.min", "11 is more than 10"),
        (
            json!({"min": 3, "max": 2}),
            "autoscaler.min",
            "3 is more than 2",
        ),
        (
            json!({"target_seconds": 0}),
            "autoscaler.target_seconds",
            "from 1 to 86400",
        ),
        (
            json!({"max_step_up": 0}),
            "autoscaler.max_step_up",
            "from 1 to 50",
        ),
        (
            json!({"max": -1}),
            "autoscaler.max",
            "a whole number from 0 up",
        ),
        (
            json!({"max": "7"}),
            "autoscaler.max",
            "a whole number from 0 up",
        ),
        (json!({"enabled": "yes"}), "autoscaler.enabled", "boolean"),
        (json!({"maximum": 7}), "autoscaler.maximum", "unknown field"),
        (json!([]), "autoscaler", "a JSON object"),
    ] {
        refused(
            &set(&api, settings.clone()).await,
            field,
            what,
            &settings.to_string(),
        );
    }
    for (body, field, what) in [
        (json!({}), "autoscaler", "required"),
        (json!([]), "body", "autoscaler"),
        (
            json!({"autoscaler": {}, "desired": 3}),
            "desired",
            "only autoscaler",
        ),
    ] {
        refused(
            &api.put("/api/v1/fleet", body.clone()).await,
            field,
            what,
            &body.to_string(),
        );
    }
    let untouched = shown(&api).await;
    assert_eq!(
        (&untouched["min"], &untouched["max"]),
        (&json!(1), &json!(10))
    );
}

/// Who lifted a limit is as good to know as who scaled.
#[tokio::test]
async fn who_sets_it_is_written_down() {
    let api = TestApi::start().await;
    set(&api, json!({"max": 20})).await.json(200);
    set(&api, json!({"pinned": false})).await.json(200);
    set(&api, json!({"max": 51})).await.problem(400);
    set(&api, json!({"min": 21})).await.problem(400);
    set(&api, json!({"enabled": true})).await.problem(501);
    let expected = |entry: &Value, request: Value| {
        assert_eq!(
            *entry,
            json!({"id": entry["id"], "at": entry["at"], "caller": "local operator", "action": "fleet.autoscaler",
                "fleet": "none", "request": request, "reason": null, "steps": [], "decided_at": entry["at"],
                "finished_at": entry["at"], "outcome": "done", "error": null})
        );
    };
    let all = entries(&api).await;
    assert_eq!(all.len(), 2, "{all:?}");
    expected(&all[0], json!({"pinned": false}));
    expected(&all[1], json!({"max": 20}));
}

#[tokio::test]
async fn without_a_fleet_there_is_nothing_to_switch_on() {
    let api = TestApi::start().await;
    let problem = set(&api, json!({"enabled": true})).await.problem(501);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("does not control a fleet"), "{detail}");
    assert_eq!(shown(&api).await["enabled"], false);
    set(&api, json!({"enabled": false, "max": 3}))
        .await
        .json(200);
}

#[tokio::test]
async fn whoever_scales_by_hand_pins_it_until_it_is_released() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 3).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let scale = |count| api.post("/api/workers/scale", json!({"count": count}));
    scale(3).await.json(200);
    assert_eq!(shown(&api).await["pinned"], false, "it is switched off");

    set(&api, json!({"enabled": true})).await.json(200);
    api.post("/api/workers/kill", json!({"name": "worker-9"}))
        .await
        .problem(404);
    api.ask("/api/v1/workers/worker-1/drain").await.problem(404);
    assert_eq!(shown(&api).await["pinned"], false, "nothing was done");

    for name in ["worker-1", "elsewhere"] {
        StandIn::register(api.pool(), name).await;
    }
    api.ask("/api/v1/workers/elsewhere/drain").await.json(202);
    assert_eq!(
        shown(&api).await["pinned"],
        false,
        "it is none of this fleet"
    );
    let released = || async {
        let answer = set(&api, json!({"pinned": false})).await.json(200);
        assert_eq!(answer["autoscaler"]["pinned"], false);
    };
    scale(3).await.json(200);
    assert_eq!(shown(&api).await["pinned"], true);
    released().await;
    api.post("/api/workers/kill", json!({"name": "worker-3"}))
        .await
        .json(200);
    assert_eq!(shown(&api).await["pinned"], true);
    released().await;
    api.ask("/api/v1/workers/worker-1/drain").await.json(202);
    assert_eq!(shown(&api).await["pinned"], true);
    fleet.shutdown().await;
}

#[tokio::test]
async fn the_forecast_says_how_soon_so_many_workers_clear_the_backlog() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 2).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    StandIn::register(api.pool(), "worker-1").await;
    let idle = api.get("/api/v1/fleet/forecast").await.json(200);
    assert_eq!(idle["summary"], "Nothing waits. 2 workers keep up.");
    assert_eq!(idle["forecasts"].as_array().unwrap().len(), 10);
    assert_eq!(
        (&idle["run_time"], &idle["run_seconds"]),
        (&json!("assumed"), &json!(1.0))
    );

    let tasks = vec![json!({"command": "x"}); 1000];
    api.post("/api/v1/tasks", tasks).await.json(201);
    let many = api.get("/api/v1/fleet/forecast?workers=3").await.json(200);
    assert_eq!(many["seen"]["due"], 1000);
    assert_eq!(many["needed"], 5);
    assert_eq!(
        many["summary"],
        "1000 tasks wait. 2 workers clear it in 2 min 5 s. No number up to 3 clears it within 1 min."
    );
    assert_eq!(
        many["forecasts"][1],
        json!({"workers": 2, "clears_in_seconds": 125.0, "utilisation": 0.0})
    );
    for (query, field, what) in [
        ("workers=0", "workers", "from 1 to 50"),
        ("workers=51", "workers", "from 1 to 50"),
        ("count=3", "count", "there are workers"),
    ] {
        refused(
            &api.get(&format!("/api/v1/fleet/forecast?{query}")).await,
            field,
            what,
            query,
        );
    }
    fleet.shutdown().await;
}

#[tokio::test]
async fn decisions_are_listed_page_by_page() {
    let api = TestApi::start().await;
    let nothing = api.get("/api/v1/fleet/decisions").await.json(200);
    assert_eq!(nothing, json!({"decisions": [], "next_cursor": null}));
    let seen = autoscaler::observe(api.pool(), 1, 60).await.unwrap();
    for (from, to) in [(1, 2), (2, 3), (3, 4)] {
        let reason = Reason::BelowMin { min: 4 };
        let decision = Decision { from, to, reason };
        autoscaler::record(api.pool(), &decision, &seen, false, &Outcome::Applied)
            .await
            .unwrap();
    }
    let first = api.get("/api/v1/fleet/decisions?limit=2").await.json(200);
    let sizes = |page: &Value| -> Vec<i64> {
        let rows = page["decisions"].as_array().unwrap().iter();
        rows.map(|row| row["to"].as_i64().unwrap()).collect()
    };
    assert_eq!(sizes(&first), [4, 3]);
    assert_eq!(
        first["decisions"][0]["reason"],
        "there are to be 4 workers at least"
    );
    assert_eq!(first["decisions"][0]["observation"]["desired"], 1);
    let cursor = first["next_cursor"].as_str().unwrap();
    let path = format!("/api/v1/fleet/decisions?limit=2&cursor={cursor}");
    let last = api.get(&path).await.json(200);
    assert_eq!(
        (sizes(&last), &last["next_cursor"]),
        (vec![2], &Value::Null)
    );
    assert_eq!(shown(&api).await["last_decision"], first["decisions"][0]);
    for (query, field, what) in [
        ("limit=0", "limit", "1 to 1000"),
        ("cursor=x", "cursor", "next_cursor"),
        ("cursor=%2B1", "cursor", "next_cursor"),
        ("page=2", "page", "limit, cursor"),
    ] {
        refused(
            &api.get(&format!("/api/v1/fleet/decisions?{query}")).await,
            field,
            what,
            query,
        );
    }
}
