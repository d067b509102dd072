//! One task followed to its end: its output as it comes, then how it ended.

use std::pin::pin;

use anyhow::Context;
use serde::Deserialize;
use uuid::Uuid;

use crate::client::{Client, Signal};
use crate::output::Terminal;

/// Why the following stopped.
#[derive(Debug)]
pub(super) enum Followed {
    /// The task ended.
    Ended(End),
    /// Ctrl-C; the task goes on.
    Interrupted,
}

/// How a task ended.
#[derive(Debug, Deserialize)]
pub(super) struct End {
    /// Its last status.
    pub(super) status: String,
    exit_code: Option<i64>,
    signal: Option<i64>,
    /// Why it failed.
    pub(super) error_message: Option<String>,
}

impl End {
    /// The exit code that stands for it, as a shell would give it.
    pub(super) fn exit_code(&self) -> u8 {
        match self.status.as_str() {
            "completed" => 0,
            "cancelled" => 130,
            _ => match (self.exit_code, self.signal) {
                (_, Some(signal)) => u8::try_from(128 + signal).unwrap_or(1),
                // A command that ran out of time may still end with 0.
                (Some(code), None) => u8::try_from(code)
                    .ok()
                    .filter(|&code| code != 0)
                    .unwrap_or(1),
                (None, None) => 1,
            },
        }
    }
}

#[derive(Deserialize)]
struct Piece {
    attempt: i64,
    seq: i64,
    stream: String,
    text: String,
}

/// Prints the output of a task to our own standard output and error until it ends, across cuts of the connection.
///
/// # Errors
/// When there is no such task or attempt, or the API is not there at first.
pub(super) async fn follow(
    client: &Client,
    id: Uuid,
    attempt: Option<u32>,
    json: bool,
    terminal: &mut Terminal,
) -> anyhow::Result<Followed> {
    let query: Vec<_> = attempt
        .map(|attempt| ("attempt", attempt.to_string()))
        .into_iter()
        .collect();
    let mut events = client.events(&format!("/api/v1/tasks/{id}/output/stream"), &query);
    let mut place = Place::default();
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        let signal = tokio::select! {
            biased;
            _ = &mut interrupted => {
                terminal.note(format!("task {id} goes on; stop it with: taskmaster cancel {id}"));
                return Ok(Followed::Interrupted);
            }
            signal = events.next() => signal?,
        };
        let event = match signal {
            Signal::Connected => {
                place.again();
                continue;
            }
            Signal::Lost => {
                terminal.note("the connection to the TaskMaster API is lost; trying again");
                continue;
            }
            Signal::Event(event) => event,
        };
        let odd = || format!("the API sent an event that cannot be read: {}", event.data);
        match event.event.as_str() {
            "output" => {
                let piece: Piece = serde_json::from_str(&event.data).with_context(odd)?;
                if place.is_new(piece.attempt, piece.seq) {
                    print(&piece, &event.data, json, terminal)?;
                }
            }
            "end" => {
                if json {
                    terminal.line(&event.data)?;
                }
                return Ok(Followed::Ended(
                    serde_json::from_str(&event.data).with_context(odd)?,
                ));
            }
            _ => {}
        }
    }
}

fn print(piece: &Piece, data: &str, json: bool, terminal: &mut Terminal) -> anyhow::Result<()> {
    if json {
        terminal.line(data)
    } else if piece.stream == "stdout" {
        terminal.bytes(piece.text.as_bytes())
    } else {
        terminal.error_bytes(piece.text.as_bytes())
    }
}

/// How far the output was printed. A stream that connects again begins at the start: what was printed is passed over.
#[derive(Debug, Default)]
struct Place {
    printed: Option<(i64, i64)>,
    pass_over: Option<(i64, i64)>,
}

impl Place {
    fn again(&mut self) {
        self.pass_over = self.printed;
    }

    fn is_new(&mut self, attempt: i64, seq: i64) -> bool {
        let place = (attempt, seq);
        if self.pass_over.is_some_and(|last| place <= last) {
            return false;
        }
        self.pass_over = None;
        self.printed = Some(place);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(status: &str, exit_code: Option<i64>, signal: Option<i64>) -> u8 {
        End {
            status: status.to_owned(),
            exit_code,
            signal,
            error_message: None,
        }
        .exit_code()
    }

    #[test]
    fn the_exit_code_is_the_commands_own() {
        assert_eq!(end("completed", Some(0), None), 0);
        assert_eq!(end("failed", Some(3), None), 3);
        assert_eq!(end("failed", Some(255), None), 255);
        assert_eq!(end("failed", None, Some(9)), 137);
        assert_eq!(end("failed", None, None), 1, "it never ran, or was lost");
        assert_eq!(end("failed", Some(0), None), 1, "never success");
        assert_eq!(
            end("failed", Some(256), Some(1000)),
            1,
            "never beyond a byte"
        );
        assert_eq!(end("cancelled", None, Some(15)), 130);
    }

    #[test]
    fn a_stream_that_begins_again_is_printed_once() {
        let mut place = Place::default();
        place.again();
        let first: Vec<bool> = [(1, 0), (1, 1), (2, 0)]
            .map(|(a, s)| place.is_new(a, s))
            .into();
        assert_eq!(first, [true; 3]);
        place.again();
        let again: Vec<bool> = [(1, 0), (1, 1), (2, 0), (2, 1)]
            .map(|(a, s)| place.is_new(a, s))
            .into();
        assert_eq!(again, [false, false, false, true]);
        // A run that was handed back and began anew, on the same connection.
        assert!(place.is_new(2, 0));
    }
}
