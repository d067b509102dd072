//! A file of tasks: one JSON object a line, or one JSON array. All of it is checked before any of it is sent.

use std::path::Path;

use anyhow::{anyhow, bail};
use serde_json::Value;
use taskmaster_core::{FieldError, SubmitTask};
use uuid::Uuid;

/// The tasks of a file, checked.
#[derive(Debug)]
pub(super) struct Tasks {
    name: String,
    shape: Shape,
    tasks: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
enum Shape {
    Lines,
    Array,
}

/// One task.
#[derive(Debug)]
struct Entry {
    /// Its line, counted from 1; of an array its place, counted from 0.
    position: usize,
    /// As JSON.
    text: String,
}

impl Tasks {
    /// Reads and checks a file; `-` is standard input.
    ///
    /// # Errors
    /// Names the file and the line of the first task that is none.
    pub(super) fn load(path: &Path) -> anyhow::Result<Self> {
        Self::parse(super::shown(path), &super::read_text(path)?)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// The JSON of task number `index`.
    pub(super) fn json(&self, index: usize) -> &str {
        &self.tasks[index].text
    }

    /// Where task number `index` is: `tasks.jsonl:17` or `tasks.json[16]`.
    pub(super) fn place(&self, index: usize) -> String {
        place(&self.name, self.shape, self.tasks[index].position)
    }

    fn parse(name: String, text: &str) -> anyhow::Result<Self> {
        let text = text.trim_start_matches('\u{feff}');
        let shape = if text.trim_start().starts_with('[') {
            Shape::Array
        } else {
            Shape::Lines
        };
        let entries: Vec<(usize, Result<Value, String>)> = match shape {
            Shape::Array => {
                let values: Vec<Value> =
                    serde_json::from_str(text).map_err(|error| anyhow!("{name}: {error}"))?;
                values.into_iter().map(Ok).enumerate().collect()
            }
            Shape::Lines => (1..)
                .zip(text.lines())
                .filter(|(_, line)| !line.trim().is_empty())
                .map(|(number, line)| {
                    (
                        number,
                        serde_json::from_str(line).map_err(|error| in_line(&error)),
                    )
                })
                .collect(),
        };
        let mut tasks = Vec::with_capacity(entries.len());
        let mut wrong = Vec::new();
        for (position, value) in entries {
            match value.and_then(check) {
                Ok(text) => tasks.push(Entry { position, text }),
                Err(reason) => wrong.push(format!("{}: {reason}", place(&name, shape, position))),
            }
        }
        match wrong.as_slice() {
            [] if tasks.is_empty() => bail!("{name} has no tasks in it"),
            [] => Ok(Self { name, shape, tasks }),
            [only] => bail!("{only}"),
            [first, more @ ..] => bail!(
                "{first} (and {} more like this; nothing was submitted)",
                more.len()
            ),
        }
    }
}

fn place(name: &str, shape: Shape, position: usize) -> String {
    match shape {
        Shape::Lines => format!("{name}:{position}"),
        Shape::Array => format!("{name}[{position}]"),
    }
}

/// Checks as the API does, and gives the text to send.
fn check(value: Value) -> Result<String, String> {
    let text = value.to_string();
    let tell = |errors: &[FieldError]| {
        let told: Vec<String> = errors
            .iter()
            .map(|error| {
                if error.field.is_empty() {
                    error.message.clone()
                } else {
                    error.to_string()
                }
            })
            .collect();
        told.join("; ")
    };
    let task = SubmitTask::from_json(value).map_err(|error| tell(&[error]))?;
    task.check(Uuid::nil()).map_err(|errors| tell(&errors))?;
    Ok(text)
}

/// A parser's error in a text of one line, where its "line 1" would mislead.
fn in_line(error: &serde_json::Error) -> String {
    error
        .to_string()
        .replace(" at line 1 column ", " at column ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<Tasks> {
        Tasks::parse("tasks.jsonl".to_owned(), text)
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn reads_lines_and_knows_their_numbers() {
        let tasks =
            parse("\u{feff}{\"command\":\"a\"}\n\n  \r\n{\"command\": \"b\", \"priority\": 3}\r\n")
                .unwrap();
        assert_eq!(tasks.len(), 2);
        assert_eq!(tasks.place(1), "tasks.jsonl:4");
        let second: SubmitTask = serde_json::from_str(tasks.json(1)).unwrap();
        assert_eq!(
            (second.command.as_deref(), second.priority),
            (Some("b"), Some(3))
        );
    }

    #[test]
    fn reads_an_array() {
        let tasks = parse(" [\n {\"command\": \"a\"},\n {\"argv\": [\"b\"]}\n]\n").unwrap();
        assert_eq!(
            (tasks.len(), tasks.place(1).as_str()),
            (2, "tasks.jsonl[1]")
        );
    }

    #[test]
    fn an_error_names_the_line_and_the_field() {
        assert_eq!(
            error("{\"command\":\"a\"}\n{\"command\":\"a\",\"priority\":500}\n"),
            "tasks.jsonl:2: priority: must be -100 to 100; this is 500"
        );
        let unknown = error("{\"command\":\"a\",\"prio\":1}");
        assert!(
            unknown.starts_with("tasks.jsonl:1: ") && unknown.contains("prio"),
            "{unknown}"
        );
        let broken = error("{\"command\":\"a\"}\n\n{\"command\":\n");
        assert!(
            broken.starts_with("tasks.jsonl:3: ") && !broken.contains("line 1"),
            "{broken}"
        );
        assert!(error("\"a\"\n{}\n7").ends_with("(and 2 more like this; nothing was submitted)"));
        assert!(error("[{\"command\":\"\"}]").starts_with("tasks.jsonl[0]: command: "));
    }

    #[test]
    fn an_empty_file_is_an_error() {
        assert_eq!(error("\n \n"), "tasks.jsonl has no tasks in it");
        assert_eq!(error("[]"), "tasks.jsonl has no tasks in it");
    }
}
