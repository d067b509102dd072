//! A plain HTTP client of the API, which sees JSON as any user's program does.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::eventually;

/// The API at an address.
#[derive(Debug, Clone)]
pub struct Api {
    base: String,
    http: reqwest::Client,
}

impl Api {
    /// A client of the API at `base`, such as `http://127.0.0.1:8081`.
    ///
    /// # Errors
    /// When no client can be made.
    pub fn new(base: String) -> Result<Self> {
        // Refused when another test of this process was first, which is as good.
        drop(rustls::crypto::ring::default_provider().install_default());
        Ok(Self {
            base,
            http: reqwest::Client::builder().no_proxy().build()?,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// GET: the status and the body.
    ///
    /// # Errors
    /// When there is no answer, or it is not JSON.
    pub async fn get(&self, path: &str) -> Result<(u16, Value)> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// GET of text.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn text(&self, path: &str) -> Result<String> {
        let answer = self.http.get(format!("{}{path}", self.base)).send().await?;
        Ok(answer.error_for_status()?.text().await?)
    }

    /// POST: the status and the body.
    ///
    /// # Errors
    /// When there is no answer, or it is not JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// Submits tasks, as JSON that was written before; returns the answer unread: for producers that are measured, which
    /// should take as little of the machine as they can.
    ///
    /// # Errors
    /// When there is no answer, or they are not taken in.
    pub async fn submit_written(&self, tasks: &str) -> Result<Vec<u8>> {
        let request = self.http.post(format!("{}/api/v1/tasks", self.base));
        let request = request.header("content-type", "application/json");
        let answer = request.body(tasks.to_owned()).send().await?;
        let (status, answer) = (answer.status(), answer.bytes().await?);
        ensure!(status == 201, "{status}: {}", answer.escape_ascii());
        Ok(answer.into())
    }

    /// PUT: the status and the body.
    ///
    /// # Errors
    /// When there is no answer, or it is not JSON.
    pub async fn put(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        let request = self.http.put(format!("{}{path}", self.base)).json(body);
        let answer = request.send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    /// Opens the stream of events.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn events(&self) -> Result<Events> {
        let answer = self
            .http
            .get(format!("{}/api/v1/events", self.base))
            .send()
            .await?;
        Ok(Events {
            answer: answer.error_for_status()?,
            seen: String::new(),
        })
    }

    /// Submits a task, given as the API takes it; returns its id.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn submit(&self, task: &Value) -> Result<String> {
        let (status, body) = self.post("/api/v1/tasks", task).await?;
        ensure!(status == 201, "{status}: {body}");
        Ok(body["id"].as_str().context("no id")?.to_owned())
    }

    /// Submits many; returns their ids, in order.
    ///
    /// # Errors
    /// When they are not taken.
    pub async fn submit_all(&self, tasks: &[Value]) -> Result<Vec<String>> {
        let (status, body) = self.post("/api/v1/tasks", &Value::from(tasks)).await?;
        ensure!(status == 201, "{status}: {body}");
        let tasks = body["tasks"].as_array().context("no tasks")?;
        tasks
            .iter()
            .map(|task| Ok(task["id"].as_str().context("no id")?.to_owned()))
            .collect()
    }

    /// The task as it is.
    ///
    /// # Errors
    /// When there is none.
    pub async fn task(&self, id: &str) -> Result<Value> {
        let (status, body) = self.get(&format!("/api/v1/tasks/{id}")).await?;
        ensure!(status == 200, "{status}: {body}");
        Ok(body)
    }

    /// Its attempts.
    ///
    /// # Errors
    /// When there is no such task.
    pub async fn attempts(&self, id: &str) -> Result<Vec<Value>> {
        let (status, body) = self.get(&format!("/api/v1/tasks/{id}/attempts")).await?;
        ensure!(status == 200, "{status}: {body}");
        Ok(body["attempts"].as_array().context("no attempts")?.clone())
    }

    /// What it printed.
    ///
    /// # Errors
    /// When there is no such task.
    pub async fn output(&self, id: &str) -> Result<String> {
        self.text(&format!("/api/v1/tasks/{id}/output")).await
    }

    /// Waits until the task has this status.
    ///
    /// # Errors
    /// When it has not within a minute: the task as it was last.
    pub async fn wait(&self, id: &str, status: &str) -> Result<Value> {
        eventually(&format!("task {id} is {status}"), async || {
            let task = self.task(id).await?;
            if task["status"] == status {
                Ok(Ok(task))
            } else {
                Ok(Err(task.to_string()))
            }
        })
        .await
    }
}

/// The stream of events.
#[derive(Debug)]
pub struct Events {
    answer: reqwest::Response,
    seen: String,
}

impl Events {
    /// Reads on until an event of this name.
    ///
    /// # Errors
    /// When none comes within a minute, or the stream ends: what came instead.
    pub async fn until(&mut self, name: &str) -> Result<()> {
        let line = format!("event: {name}\n");
        let reading = async {
            while !self.seen.contains(&line) {
                let chunk = self.answer.chunk().await?.context("the stream has ended")?;
                self.seen.push_str(&String::from_utf8_lossy(&chunk));
            }
            self.seen.clear();
            anyhow::Ok(())
        };
        let read = tokio::time::timeout(std::time::Duration::from_secs(60), reading).await;
        read.with_context(|| format!("no event {name:?} within a minute"))?
    }
}
