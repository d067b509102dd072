//! How the command line prints: plain text and tables for people, JSON for programs.

mod moments;
mod progress;
mod status;
mod table;
mod terminal;

pub(crate) use moments::{local, now, relative, took};
pub(crate) use progress::bar;
pub(crate) use status::{paint, task_status};
pub(crate) use table::{Table, one_line};
pub(crate) use terminal::{Closed, Terminal};

/// `1 worker`, `3 workers`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
