//! Waiting for many tasks: told by the event stream, and looked up whenever that may have missed something.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use eventsource_stream::Event;
use indicatif::ProgressBar;
use serde::Deserialize;
use serde_json::json;
use taskmaster_core::TaskStatus;
use tokio::time::Instant;
use uuid::Uuid;

use crate::client::{Client, Error, Page, Signal, Task};
use crate::output::{Terminal, bar, count, one_line};

/// After so long without news it is looked up.
const QUIET: Duration = Duration::from_secs(5);
/// Up to so many are looked up one by one.
const FEW: usize = 20;
/// The most that the API lists at once.
const PAGE: usize = 1000;
/// Of so many that did not complete it is told why.
const TOLD: usize = 10;

#[derive(Deserialize)]
struct Change {
    id: Uuid,
    status: TaskStatus,
}

#[derive(Deserialize)]
struct Changes {
    tasks: Vec<Change>,
}

/// The tasks that are waited for, and how the others ended.
struct Watch<'a> {
    client: &'a Client,
    pending: BTreeSet<Uuid>,
    completed: usize,
    failed: Vec<Uuid>,
    cancelled: Vec<Uuid>,
    bar: ProgressBar,
}

/// Waits until all of them have ended, says how many completed, and fails unless all did.
///
/// # Errors
/// When the API is not there at first, or one of the tasks is gone.
pub(super) async fn watch(
    client: &Client,
    ids: Vec<Uuid>,
    json: bool,
    terminal: &mut Terminal,
) -> anyhow::Result<ExitCode> {
    let total = ids.len();
    let mut watch = Watch {
        client,
        pending: ids.into_iter().collect(),
        completed: 0,
        failed: Vec::new(),
        cancelled: Vec::new(),
        bar: bar(total, "running"),
    };
    let ended = tokio::select! {
        ended = watch.run(terminal) => ended.map(|()| true),
        _ = tokio::signal::ctrl_c() => Ok(false),
    };
    watch.bar.finish_and_clear();
    if !ended? {
        let left = count(watch.pending.len(), "task");
        terminal.note(format!(
            "{left} left to run on; see them with: taskmaster tasks"
        ));
        return Ok(ExitCode::from(130));
    }
    let (failed, cancelled) = (watch.failed.len(), watch.cancelled.len());
    if json {
        let completed = watch.completed;
        terminal.json(&json!({ "total": total, "completed": completed, "failed": failed, "cancelled": cancelled }))?;
    } else {
        watch.tell_why(terminal).await?;
        let mut summary = format!("{} of {total} completed", watch.completed);
        for (count, how) in [(failed, "failed"), (cancelled, "cancelled")] {
            if count > 0 {
                summary += &format!(", {count} {how}");
            }
        }
        terminal.line(summary)?;
    }
    Ok(if watch.completed == total {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Watch<'_> {
    /// Returns when all have ended.
    async fn run(&mut self, terminal: &mut Terminal) -> anyhow::Result<()> {
        let mut events = self.client.events("/api/v1/events", &[]);
        // Not at once: the stream says first that it is connected.
        let (mut look_up_at, mut is_owed) = (Instant::now() + QUIET, false);
        let mut pause = Duration::ZERO;
        while !self.pending.is_empty() {
            if Instant::now() >= look_up_at {
                let begin = Instant::now();
                match self.look_up().await {
                    // The stream notices that too, and connects again.
                    Err(error) if may_pass(&error) => {}
                    other => other?,
                }
                pause = begin.elapsed() * 10;
                (look_up_at, is_owed) = (Instant::now() + QUIET.max(pause), false);
                continue;
            }
            tokio::select! {
                signal = events.next() => match signal? {
                    Signal::Connected => (look_up_at, is_owed) = (Instant::now(), true),
                    Signal::Lost => {
                        let note = "the connection to the TaskMaster API is lost; trying again";
                        self.bar.suspend(|| terminal.note(note));
                    }
                    Signal::Event(event) if event.event == "resync" => {
                        (look_up_at, is_owed) = (look_up_at.min(Instant::now() + pause), true);
                    }
                    Signal::Event(event) => {
                        if self.take(&event)? && !is_owed {
                            look_up_at = Instant::now() + QUIET.max(pause);
                        }
                    }
                },
                () = tokio::time::sleep_until(look_up_at) => {}
            }
        }
        Ok(())
    }

    /// Notes what an event tells; whether it told anything.
    fn take(&mut self, event: &Event) -> anyhow::Result<bool> {
        if event.event != "tasks" {
            return Ok(false);
        }
        let changes: Changes = serde_json::from_str(&event.data)
            .context("the API sent an event that cannot be read")?;
        let before = self.pending.len();
        for change in changes.tasks {
            self.ended(change.id, change.status);
        }
        Ok(self.pending.len() < before)
    }

    fn ended(&mut self, id: Uuid, status: TaskStatus) {
        if !status.is_final() || !self.pending.remove(&id) {
            return;
        }
        match status {
            TaskStatus::Completed => self.completed += 1,
            TaskStatus::Cancelled => self.cancelled.push(id),
            _ => self.failed.push(id),
        }
        self.bar.inc(1);
    }

    async fn look_up(&mut self) -> anyhow::Result<()> {
        if self.pending.len() <= FEW {
            for id in self.pending.clone() {
                let task: Task = self
                    .client
                    .get_as(&format!("/api/v1/tasks/{id}"), &[])
                    .await?;
                self.ended(id, task.status);
            }
            return Ok(());
        }
        let mut cursor = None;
        loop {
            let mut query = vec![
                ("limit", PAGE.to_string()),
                ("status", "completed,failed,cancelled".to_owned()),
            ];
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let page: Page = self.client.get_as("/api/v1/tasks", &query).await?;
            let mut oldest = None;
            for task in page.tasks {
                let task: Change = self.client.read(&task)?;
                self.ended(task.id, task.status);
                oldest = Some(task.id);
            }
            // Newest first: none of ours is on the pages that follow.
            let done = match (self.pending.first(), oldest) {
                (Some(first), Some(oldest)) => oldest < *first,
                _ => true,
            };
            cursor = page.next_cursor;
            if done || cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn tell_why(&self, terminal: &mut Terminal) -> anyhow::Result<()> {
        for id in self.failed.iter().chain(&self.cancelled).take(TOLD) {
            let task: Task = self
                .client
                .get_as(&format!("/api/v1/tasks/{id}"), &[])
                .await?;
            let reason = task
                .error_message
                .as_deref()
                .map(one_line)
                .unwrap_or_default();
            terminal.note(format!(
                "task {id} {}: {reason} ({})",
                task.status,
                one_line(&task.command)
            ));
        }
        Ok(())
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<Error>()
        .is_some_and(|error| error.may_pass())
}
