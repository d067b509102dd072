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
        "completed" | "idle" | "online" => plain.green(),
        "running" | "busy" => plain.cyan(),
        "assigned" | "draining" => plain.yellow(),
        "failed" | "timed_out" | "lost" | "offline" => plain.red(),
        "cancelled" => plain.dim(),
        _ => plain,
    }
}
