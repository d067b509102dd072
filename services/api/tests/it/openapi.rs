//! The OpenAPI document is the committed one.

use std::path::Path;

use serde_json::Value;

use crate::api::TestApi;

#[test]
fn openapi_snapshot_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../client/openapi.json");
    let now = taskmaster_api::openapi().unwrap();
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    // Not assert_eq: both are thousands of lines.
    assert!(
        committed == now,
        "client/openapi.json is not what the code says: run `cargo xtask openapi` and commit the result"
    );
}

#[tokio::test]
async fn openapi_is_served_as_it_is_committed() {
    let api = TestApi::alone();
    let served = api.get("/api/openapi.json").await.json(200);
    let document: Value = serde_json::from_str(&taskmaster_api::openapi().unwrap()).unwrap();
    assert_eq!(served, document);
    assert_eq!(served["openapi"], "3.1.0");
}

#[test]
fn openapi_has_no_reference_that_leads_nowhere() {
    let document: Value = serde_json::from_str(&taskmaster_api::openapi().unwrap()).unwrap();
    let mut unread = vec![&document];
    let mut references = 0;
    while let Some(value) = unread.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                    let pointer = reference.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                    references += 1;
                }
                unread.extend(fields.values());
            }
            Value::Array(items) => unread.extend(items),
            _ => {}
        }
    }
    assert!(references > 30, "{references}");
    for name in [
        "Task",
        "TaskPage",
        "TaskList",
        "TaskStatus",
        "Worker",
        "WorkerList",
        "Stats",
        "Fleet",
        "FleetChange",
        "FleetForecast",
        "AutoscalerDecision",
        "Attempt",
        "AttemptList",
        "SubmitTask",
        "Problem",
        "FieldError",
        "ScaleRequest",
        "ScaleResult",
        "KillRequest",
        "KillResult",
        "FleetMember",
        "FleetMemberState",
        "AuditEntry",
        "AuditOutcome",
        "AuditPage",
        "AuditStep",
        "SeedTask",
        "SeedWorker",
    ] {
        assert!(
            document["components"]["schemas"][name].is_object(),
            "{name}"
        );
    }
    for operations in document["paths"].as_object().unwrap().values() {
        for operation in operations.as_object().unwrap().values() {
            assert!(operation["responses"]["default"].is_object(), "{operation}");
        }
    }
}
