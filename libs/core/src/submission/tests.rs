//! What is taken, and what each thing that is not taken is told.

use serde_json::json;
use uuid::Uuid;

use super::*;

fn check(value: serde_json::Value) -> Result<NewTask, Vec<FieldError>> {
    SubmitTask::from_json(value)
        .map_err(|error| vec![error])?
        .check(Uuid::nil())
}

/// The fields that are refused, in order.
fn refused(value: serde_json::Value) -> Vec<String> {
    check(value)
        .unwrap_err()
        .into_iter()
        .map(|error| error.field)
        .collect()
}

#[test]
fn the_seed_request_is_a_task() {
    let task = check(json!({
        "command": "process-data --input file.csv", "scheduled_at": "2024-01-23T10:00:00.000Z",
    }))
    .unwrap();
    assert_eq!(task.command, "process-data --input file.csv");
    assert!(matches!(task.when, When::At(at) if at.to_rfc3339() == "2024-01-23T10:00:00+00:00"));
    assert_eq!(
        (task.priority, task.max_attempts, task.timeout_seconds),
        (0, 1, None)
    );
}

#[test]
fn argv_is_shown_quoted() {
    let task = check(json!({"argv": ["printf", "%s\n", "a b"]})).unwrap();
    assert_eq!(task.command, "printf '%s\n' 'a b'");
    assert_eq!(task.argv.unwrap()[2], "a b");
}

#[test]
fn each_fault_names_its_field() {
    let long = "x".repeat(MAX_COMMAND_BYTES + 1);
    for (value, fields) in [
        (json!({}), vec!["command"]),
        (json!({"command": ""}), vec!["command"]),
        (json!({"command": " \n"}), vec!["command"]),
        (json!({"command": long}), vec!["command"]),
        (json!({"command": "a\0b"}), vec!["command"]),
        (json!({"command": 3}), vec!["command"]),
        (json!({"command": "a", "argv": ["a"]}), vec!["argv"]),
        (json!({"argv": []}), vec!["argv"]),
        (json!({"argv": ["a", "b\0"]}), vec!["argv[1]"]),
        (json!({"command": "a", "comand": "b"}), vec!["comand"]),
        (
            json!({"command": "a", "scheduled_at": "tomorrow"}),
            vec!["scheduled_at"],
        ),
        (
            json!({"command": "a", "scheduled_at": "2026-01-23T10:00:00"}),
            vec!["scheduled_at"],
        ),
        (
            json!({"command": "a", "scheduled_at": "2026-01-23T10:00:00Z", "delay_seconds": 1}),
            vec!["delay_seconds"],
        ),
        (
            json!({"command": "a", "delay_seconds": -1}),
            vec!["delay_seconds"],
        ),
        (json!({"command": "a", "priority": 101}), vec!["priority"]),
        (
            json!({"command": "a", "priority": "high"}),
            vec!["priority"],
        ),
        (
            json!({"command": "a", "timeout_seconds": 0, "max_attempts": 0}),
            vec!["timeout_seconds", "max_attempts"],
        ),
        (json!({"command": "a", "env": {"A=B": "c"}}), vec!["env"]),
        (
            json!({"command": "a", "env": {"TASKMASTER_TASK_ID": "c"}}),
            vec!["env.TASKMASTER_TASK_ID"],
        ),
        (
            json!({"command": "a", "simulate": {"run_ms": 1}}),
            vec!["simulate"],
        ),
        (
            json!({"command": "a", "executor": "docker"}),
            vec!["executor"],
        ),
        (json!(["a"]), vec![""]),
    ] {
        let text = value.to_string();
        assert_eq!(refused(value), fields, "{}", &text[..text.len().min(200)]);
    }
}

#[test]
fn simulate_has_the_seeds_times() {
    let task = check(json!({"command": "demo", "executor": "simulate"})).unwrap();
    assert_eq!(
        task.simulate,
        Some(SimulateOptions {
            wait_ms: 2000,
            run_ms: 5000,
            fail: false
        })
    );
    let task =
        check(json!({"command": "demo", "executor": "simulate", "simulate": {"wait_ms": 0}}))
            .unwrap();
    assert_eq!(
        task.simulate,
        Some(SimulateOptions {
            wait_ms: 0,
            run_ms: 5000,
            fail: false
        })
    );
}
