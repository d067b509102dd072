//! `taskmaster tasks`.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use taskmaster_core::TaskStatus;

use crate::cli::ClientArgs;
use crate::client::{Client, Page, Task};
use crate::output::{Table, Terminal, now, one_line, relative, task_status, took};

/// The most that the API gives at once.
const PAGE: usize = 1000;

/// List tasks, the newest first
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these statuses: scheduled, assigned, running, completed, failed, cancelled
    #[arg(long, value_delimiter = ',')]
    status: Vec<TaskStatus>,
    /// Only those of this worker
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// Only those whose command has this text in it
    #[arg(long, value_name = "TEXT")]
    query: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    client: ClientArgs,
}

impl Args {
    /// Prints them, one a line.
    ///
    /// # Errors
    /// When the API is away.
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let client = Client::new(&self.client.api)?;
        let mut terminal = Terminal::new();
        let mut table = Table::new(&["ID", "STATUS", "DUE", "TOOK", "WORKER", "COMMAND"]);
        let now = now();
        let (mut left, mut cursor) = (self.limit, None);
        while left > 0 {
            let page = self.page(&client, left.min(PAGE), cursor).await?;
            left = left.saturating_sub(page.tasks.len());
            for task in page.tasks {
                if self.client.json {
                    terminal.json(&task)?;
                } else {
                    table.row(row(client.read(&task)?, now));
                }
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        if !self.client.json {
            table.print(&mut terminal)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn page(
        &self,
        client: &Client,
        limit: usize,
        cursor: Option<String>,
    ) -> anyhow::Result<Page> {
        let mut query = vec![("limit", limit.to_string())];
        if !self.status.is_empty() {
            let names: Vec<&str> = self.status.iter().map(|status| status.as_str()).collect();
            query.push(("status", names.join(",")));
        }
        query.extend(self.worker.clone().map(|worker| ("worker", worker)));
        query.extend(self.query.clone().map(|text| ("q", text)));
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        Ok(client.get_as("/api/v1/tasks", &query).await?)
    }
}

fn row(task: Task, now: DateTime<Utc>) -> [String; 6] {
    let end = task.finished_at.unwrap_or(now);
    [
        task.id.to_string(),
        task_status(task.status).to_string(),
        relative(task.scheduled_at, now),
        task.started_at
            .map_or_else(|| "-".to_owned(), |started| took(end - started)),
        task.assigned_worker_name
            .as_deref()
            .map_or_else(|| "-".to_owned(), one_line),
        one_line(&task.command),
    ]
}
