//! `taskmaster audit`.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::cli::ClientArgs;
use crate::client::{AuditPage, Client, Operation};
use crate::output::{Table, Terminal, local, now, one_line, paint, relative};

/// The most that the API gives at once.
const PAGE: usize = 200;

/// List who changed the fleet, how, and what came of it, the newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this operation, step by step
    id: Option<Uuid>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "id")]
    limit: usize,
    #[command(flatten)]
    client: ClientArgs,
}

impl Args {
    /// Prints them, one a line, or one with its steps.
    ///
    /// # Errors
    /// When there is no such operation, or the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let mut terminal = Terminal::new();
        match self.id {
            Some(id) => self.one(&client, id, &mut terminal).await?,
            None => self.list(&client, &mut terminal).await?,
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn list(&self, client: &Client, terminal: &mut Terminal) -> anyhow::Result<()> {
        let mut table = Table::new(&["ID", "BEGAN", "BY", "ACTION", "OUTCOME", "WHAT"]);
        let now = now();
        let (mut left, mut cursor) = (self.limit, None);
        while left > 0 {
            let mut query = vec![("limit", left.min(PAGE).to_string())];
            query.extend(cursor.map(|cursor: String| ("cursor", cursor)));
            let page: AuditPage = client.get_as("/api/v1/audit", &query).await?;
            left = left.saturating_sub(page.entries.len());
            for entry in page.entries {
                if self.client.json {
                    terminal.json(&entry)?;
                } else {
                    table.row(row(&client.read(&entry)?, now));
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        if !self.client.json {
            table.print(terminal)?;
        }
        Ok(())
    }

    async fn one(&self, client: &Client, id: Uuid, terminal: &mut Terminal) -> anyhow::Result<()> {
        let answer = client.get(&format!("/api/v1/audit/{id}"), &[]).await?;
        if self.client.json {
            return terminal.json(&answer);
        }
        let operation: Operation = client.read(&answer)?;
        let now = now();
        let moment = |at: DateTime<Utc>| format!("{} ({})", local(at), relative(at, now));
        for (name, value) in [
            ("id", Some(operation.id.to_string())),
            ("action", Some(one_line(&operation.action))),
            ("by", Some(one_line(&operation.caller))),
            ("request", Some(asked(&operation.request))),
            ("reason", operation.reason.as_deref().map(one_line)),
            ("began", Some(moment(operation.at))),
            ("ended", operation.finished_at.map(moment)),
            ("outcome", Some(outcome(&operation))),
            ("error", operation.error.as_deref().map(one_line)),
        ] {
            if let Some(value) = value {
                terminal.line(format!("{name:<8}  {value}"))?;
            }
        }
        if operation.steps.is_empty() {
            return Ok(());
        }
        terminal.line("")?;
        let mut table = Table::new(&["AT", "WORKER", "STEP", "REASON"]);
        for step in &operation.steps {
            let reason = step.reason.as_deref().map_or_else(dash, one_line);
            let kind = paint(&step.kind).to_string();
            table.row([local(step.at), one_line(&step.name), kind, reason]);
        }
        table.print(terminal)
    }
}

fn row(operation: &Operation, now: DateTime<Utc>) -> [String; 6] {
    let mut what = asked(&operation.request);
    for more in [&operation.reason, &operation.error].into_iter().flatten() {
        what += &format!(": {}", one_line(more));
    }
    [
        operation.id.to_string(),
        relative(operation.at, now),
        one_line(&operation.caller),
        one_line(&operation.action),
        outcome(operation),
        what,
    ]
}

/// What was asked for: `count 3`, `name worker-1`.
fn asked(request: &Value) -> String {
    let Value::Object(fields) = request else {
        return one_line(&request.to_string());
    };
    let fields = fields.iter().map(|(name, value)| {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        one_line(&format!("{name} {value}"))
    });
    fields.collect::<Vec<_>>().join(", ")
}

fn outcome(operation: &Operation) -> String {
    match &operation.outcome {
        Some(outcome) => paint(outcome).to_string(),
        None => "under way".to_owned(),
    }
}

fn dash() -> String {
    "-".to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_asked_for_is_told_in_words() {
        assert_eq!(asked(&json!({"count": 3})), "count 3");
        assert_eq!(
            asked(&json!({"name": "worker-1", "x": null})),
            "name worker-1, x null"
        );
        assert_eq!(asked(&json!("a\nb")), "\"a\\nb\"");
    }
}
