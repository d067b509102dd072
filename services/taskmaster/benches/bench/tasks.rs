//! The tasks that are measured with.

use serde_json::{Value, json};
use taskmaster_core::{ExecutorKind, NewTask, SimulateOptions, When};
use uuid::Uuid;

/// A task that does nothing, as a client sends it.
pub(crate) fn no_op() -> Value {
    json!({"command": "no-op", "executor": "simulate", "simulate": {"wait_ms": 0, "run_ms": 0}})
}

/// The same as it is stored.
pub(crate) fn stored_no_op(when: When) -> NewTask {
    NewTask {
        id: Uuid::now_v7(),
        command: "no-op".to_owned(),
        argv: None,
        when,
        priority: 0,
        timeout_seconds: None,
        max_attempts: 1,
        env: None,
        stdin: None,
        executor: ExecutorKind::Simulate,
        simulate: Some(SimulateOptions {
            wait_ms: 0,
            run_ms: 0,
            fail: false,
        }),
    }
}

/// `/bin/true`, as it is stored.
pub(crate) fn stored_true(when: When) -> NewTask {
    NewTask {
        command: "/bin/true".to_owned(),
        argv: Some(vec!["/bin/true".to_owned()]),
        executor: ExecutorKind::Process,
        simulate: None,
        ..stored_no_op(when)
    }
}
