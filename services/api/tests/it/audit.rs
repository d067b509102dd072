//! `/api/v1/audit`: every change of the fleet is written down, with who, what, and each step.

use serde_json::{Value, json};
use taskmaster_testkit::eventually;

use crate::api::TestApi;
use crate::bad_input::refused;
use crate::fleet::{fleet, fleet_of, until_ready};
use crate::stand_in::StandIn;

/// The operation when it is over.
pub(crate) async fn ended(api: &TestApi, id: &Value) -> Value {
    let path = format!("/api/v1/audit/{}", id.as_str().unwrap());
    eventually("the operation is over", async || {
        let entry = api.get(&path).await.json(200);
        Ok(if entry["finished_at"].is_null() {
            Err(entry.to_string())
        } else {
            Ok(entry)
        })
    })
    .await
    .unwrap()
}

/// Everything, the newest first.
pub(crate) async fn entries(api: &TestApi) -> Vec<Value> {
    let page = api.get("/api/v1/audit").await.json(200);
    assert_eq!(page["next_cursor"], Value::Null);
    page["entries"].as_array().unwrap().clone()
}

/// `worker-1 started`, for each step.
pub(crate) fn steps(entry: &Value) -> Vec<String> {
    let steps = entry["steps"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    steps
        .iter()
        .map(|step| format!("{} {}", text(&step["name"]), text(&step["kind"])))
        .collect()
}

#[tokio::test]
async fn every_change_of_the_fleet_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 2).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    assert_eq!(entries(&api).await, Vec::<Value>::new());

    let scaled = api.post("/api/workers/scale", json!({"count": 4})).await;
    let grown = ended(&api, &scaled.json(200)["operation_id"]).await;
    assert_eq!(
        grown,
        json!({"id": grown["id"], "at": grown["at"], "caller": "local operator", "action": "fleet.scale",
            "fleet": "processes", "request": {"count": 4}, "reason": null, "steps": grown["steps"],
            "decided_at": grown["decided_at"], "finished_at": grown["finished_at"], "outcome": "done", "error": null})
    );
    assert!(grown["decided_at"].is_string());
    assert_eq!(steps(&grown), ["worker-3 started", "worker-4 started"]);
    let scaled = api.post("/api/workers/scale", json!({"count": 3})).await;
    let shrunk = ended(&api, &scaled.json(200)["operation_id"]).await;
    assert_eq!(steps(&shrunk), ["worker-4 draining", "worker-4 removed"]);

    let killed = api
        .post("/api/workers/kill", json!({"name": "worker-3"}))
        .await;
    let killed = ended(&api, &killed.json(200)["operation_id"]).await;
    assert_eq!(steps(&killed), ["worker-3 draining", "worker-3 removed"]);
    StandIn::register(api.pool(), "worker-2").await;
    let drain = api.ask("/api/v1/workers/worker-2/drain").await;
    let address = drain.header("location");
    let id = json!(address.strip_prefix("/api/v1/audit/").unwrap());
    assert_eq!(drain.json(202)["status"], "draining");
    let drained = ended(&api, &id).await;
    assert_eq!(steps(&drained), ["worker-2 draining", "worker-2 removed"]);
    // One of somebody else's.
    StandIn::register(api.pool(), "elsewhere").await;
    api.ask("/api/v1/workers/elsewhere/drain").await.json(202);
    // They are compared below: none may change any more.
    ended(&api, &entries(&api).await[0]["id"]).await;

    let all = entries(&api).await;
    let seen: Vec<_> = all
        .iter()
        .map(|entry| (&entry["action"], &entry["request"]))
        .collect();
    let expected = [
        (json!("fleet.drain"), json!({"name": "elsewhere"})),
        (json!("fleet.drain"), json!({"name": "worker-2"})),
        (json!("fleet.kill"), json!({"name": "worker-3"})),
        (json!("fleet.scale"), json!({"count": 3})),
        (json!("fleet.scale"), json!({"count": 4})),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(action, request)| (action, request))
        .collect();
    assert_eq!(seen, expected);

    let first = api.get("/api/v1/audit?limit=2").await.json(200);
    assert_eq!(first["entries"].as_array().unwrap()[..], all[..2]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = api
        .get(&format!("/api/v1/audit?cursor={cursor}"))
        .await
        .json(200);
    assert_eq!(rest["entries"].as_array().unwrap()[..], all[2..]);
    fleet.shutdown().await;
}

#[tokio::test]
async fn what_is_refused_is_written_down_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 1).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    for bad in ["; docker rm -f", "$(reboot)", "../worker-1", ""] {
        let answer = api.post("/api/workers/kill", json!({"name": bad})).await;
        refused(&answer, "name", "1 to 63 letters", bad);
    }
    api.ask("/api/v1/workers/%3B%20docker%20rm%20-f/kill")
        .await
        .problem(400);
    assert_eq!(entries(&api).await, Vec::<Value>::new(), "no operations");

    // Names of containers, but of none of this fleet.
    StandIn::register(api.pool(), "elsewhere").await;
    for name in [
        "taskmaster-postgres-1",
        "other-project-worker-1",
        "elsewhere",
    ] {
        let body = json!({ "name": name });
        api.post("/api/workers/kill", body).await.problem(404);
        api.ask(&format!("/api/v1/workers/{name}/kill"))
            .await
            .problem(404);
        for entry in entries(&api).await.iter().take(2) {
            let entry = ended(&api, &entry["id"]).await;
            assert_eq!(
                (&entry["outcome"], &entry["request"]["name"]),
                (&json!("refused"), &json!(name))
            );
            assert!(entry["error"].as_str().unwrap().contains(name), "{entry}");
            assert_eq!(steps(&entry), Vec::<String>::new());
        }
    }
    let members = fleet.workers().await.unwrap();
    assert_eq!(members.len(), 1);
    assert!(members[0].state.is_wanted());
    fleet.shutdown().await;
}

/// A client reads the steps as they are done, and the end when those that go are gone.
#[tokio::test]
async fn a_scaling_is_followed_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    // It ends when it is told to, but not before the test says so. $3 is its name.
    let here = folder.path().display();
    let script = format!(
        "trap 'until test -e {here}/go; do sleep 0.05; done; exit 0' TERM; touch {here}/$3.ready; \
         while :; do sleep 0.05; done"
    );
    let fleet = fleet_of(&folder, &script, 1).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let path = "/api/v1/fleet/scale";
    let mut events = api.follow_post(path, json!({"count": 3})).await;
    let id = events.next_named("operation").await["operation_id"].clone();
    for name in ["worker-2", "worker-3"] {
        let step = events.next_named("step").await;
        assert_eq!(
            step,
            json!({"name": name, "kind": "started", "reason": null})
        );
    }
    let decided = events.next_named("decided").await;
    assert_eq!(
        (&decided["count"], &decided["started"]),
        (&json!(3), &json!(["worker-2", "worker-3"]))
    );
    let end = events.next_named("done").await;
    assert_eq!(
        end,
        json!({"operation_id": id, "outcome": "done", "error": null})
    );
    assert_eq!(events.next().await, None);

    until_ready(&folder, "worker-3").await;
    let mut events = api.follow_post(path, json!({"count": 2})).await;
    let id = events.next_named("operation").await["operation_id"].clone();
    let step = events.next_named("step").await;
    assert_eq!(
        step,
        json!({"name": "worker-3", "kind": "draining", "reason": null})
    );
    assert_eq!(
        events.next_named("decided").await["draining"],
        json!(["worker-3"])
    );
    let entry = api
        .get(&format!("/api/v1/audit/{}", id.as_str().unwrap()))
        .await;
    assert_eq!(entry.json(200)["outcome"], Value::Null, "it drains still");
    std::fs::write(folder.path().join("go"), "").unwrap();
    assert_eq!(events.next_named("step").await["kind"], "removed");
    assert_eq!(events.next_named("done").await["outcome"], "done");
    assert_eq!(ended(&api, &id).await["outcome"], "done");

    // Nothing to do is done at once.
    let mut events = api.follow_post(path, json!({"count": 2})).await;
    events.next_named("operation").await;
    assert_eq!(events.next_named("decided").await["started"], json!([]));
    assert_eq!(events.next_named("done").await["outcome"], "done");
    fleet.shutdown().await;
}

#[tokio::test]
async fn without_events_the_answer_says_where_to_look() {
    let folder = tempfile::tempdir().unwrap();
    let fleet = fleet(&folder, 1).await;
    let api = TestApi::with_fleet(fleet.clone()).await;
    let answer = api.post("/api/v1/fleet/scale", json!({"count": 2})).await;
    let entry = answer.json(202);
    assert_eq!(entry["request"], json!({"count": 2}));
    let id = entry["id"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/api/v1/audit/{id}"));
    assert_eq!(ended(&api, &entry["id"]).await["outcome"], "done");

    let answer = api.ask("/api/v1/workers/worker-2/kill").await;
    let entry = ended(&api, &answer.json(202)["id"]).await;
    assert_eq!(steps(&entry), ["worker-2 draining", "worker-2 removed"]);
    refused(
        &api.post("/api/v1/fleet/scale", json!({"count": 51})).await,
        "count",
        "from 1 to 50",
        "51",
    );
    fleet.shutdown().await;
}
