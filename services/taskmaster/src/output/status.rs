//! The colours of statuses: only where colours can be seen, and never with NO_COLOR.

use console::{StyledObject, style};
use taskmaster_core::TaskStatus;

/// A status of a task, coloured.
pub(crate) fn task_status(status: TaskStatus) -> StyledObject<&'static str> {
    paint(status.as_str())
}

/// Any status, outcome or state, coloured by its name.
pub(crate) fn paint(name: &str) -> StyledObject<&str> {
    let plain = style(name);
    match name {
        "completed" | "idle" | "online" | "ok" | "repaired" | "done" => plain.green(),
        "running" | "busy" => plain.cyan(),
        "assigned" | "draining" | "warning" | "partial" | "refused" => plain.yellow(),
        "failed" | "timed_out" | "lost" | "offline" | "problem" => plain.red(),
        "cancelled" | "skipped" => plain.dim(),
        _ => plain,
    }
}
