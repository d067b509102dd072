//! The HTTP client of TaskMaster's API: JSON in, JSON out, event streams. What is printed of it is the commands' matter.

use std::time::Duration;

use anyhow::Context;
use reqwest::{RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use taskmaster_core::IdempotencyKey;

mod error;
mod events;
mod model;

pub(crate) use error::Error;
pub(crate) use events::{Events, Signal, Source};
pub(crate) use model::{Attempt, AuditPage, Done, Operation, Page, Scaled, Stats, Task, Worker};

/// An answer as the API wrote it: what `--json` prints.
pub(crate) type Json = Box<RawValue>;

const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// For a whole request and its answer; streams have none.
const PATIENCE: Duration = Duration::from_secs(60);
/// A stream that is silent for so long is dead: the API sends a comment every few seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// The answer to a submission.
#[derive(Debug)]
pub(crate) struct Submitted {
    /// The tasks, as the API wrote them.
    pub(crate) answer: Json,
    /// Whether they had been taken in before, under the same key.
    pub(crate) is_replay: bool,
}

/// Talks to one API.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
}

impl Client {
    /// A client of the API at `url`. Connects when it is first used.
    ///
    /// # Errors
    /// When the system's certificates cannot be read, for https.
    pub(crate) fn new(url: &Url) -> anyhow::Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("taskmaster/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_PATIENCE)
            .read_timeout(SILENCE);
        if url.scheme() == "http" {
            // Plain HTTP needs no certificates, and a small image has none.
            builder = builder.tls_certs_only([]);
        }
        if is_loopback(url) {
            // A proxy would look for the API on its own machine.
            builder = builder.no_proxy();
        }
        Ok(Self {
            http: builder.build().context("cannot make an HTTP client")?,
            base: url.as_str().trim_end_matches('/').to_owned(),
        })
    }

    /// Reads a resource.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Json, Error> {
        self.json(self.http.get(self.at(path)).query(query)).await
    }

    /// Reads a resource into a type.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn get_as<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Error> {
        self.read(&self.get(path, query).await?)
    }

    /// Posts JSON.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Json, Error> {
        self.json(self.http.post(self.at(path)).json(body)).await
    }

    /// Puts JSON.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn put(&self, path: &str, body: &impl Serialize) -> Result<Json, Error> {
        self.json(self.http.put(self.at(path)).json(body)).await
    }

    /// Submits tasks, JSON that is written already, under an idempotency key.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn submit(
        &self,
        tasks: String,
        key: &IdempotencyKey,
    ) -> Result<Submitted, Error> {
        let request = self
            .http
            .post(self.at("/api/v1/tasks"))
            .header("content-type", "application/json")
            .header("idempotency-key", key.as_str())
            .body(tasks);
        let response = self.send(request.timeout(PATIENCE)).await?;
        let replayed = response.headers().get("idempotent-replayed");
        Ok(Submitted {
            is_replay: replayed.is_some_and(|replayed| replayed == "true"),
            answer: self.body(response).await?,
        })
    }

    /// The answer as it comes in, to be read piece by piece.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn download(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Response, Error> {
        self.send(self.http.get(self.at(path)).query(query)).await
    }

    /// Posts JSON, and reads what happens as it happens. A stream that is cut is not asked for again: that would be another
    /// request.
    ///
    /// # Errors
    /// See [`Error`].
    pub(crate) async fn post_events(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Source, Error> {
        let request = self.http.post(self.at(path)).json(body);
        let request = request.header("accept", "text/event-stream");
        Ok(events::read(self.send(request).await?))
    }

    /// A followed event stream, connected when it is first read.
    pub(crate) fn events(&self, path: &str, query: &[(&'static str, String)]) -> Events {
        Events::new(self.clone(), path.to_owned(), query.to_vec())
    }

    /// Gives an answer its type.
    ///
    /// # Errors
    /// [`Error::Unexpected`].
    pub(crate) fn read<T: DeserializeOwned>(&self, answer: &RawValue) -> Result<T, Error> {
        serde_json::from_str(answer.get()).map_err(|error| self.unexpected(error.to_string()))
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn json(&self, request: RequestBuilder) -> Result<Json, Error> {
        let response = self.send(request.timeout(PATIENCE)).await?;
        self.body(response).await
    }

    async fn body(&self, response: Response) -> Result<Json, Error> {
        let body = response
            .bytes()
            .await
            .map_err(|error| self.broken(&error))?;
        serde_json::from_slice(&body).map_err(|error| self.unexpected(error.to_string()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Error> {
        let response = request.send().await.map_err(|error| {
            if let Some(reason) = error::certificate(&error) {
                Error::Untrusted {
                    api: self.shown(),
                    reason,
                }
            } else if error.is_connect() {
                Error::Unreachable { api: self.shown() }
            } else {
                self.broken(&error)
            }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response
            .bytes()
            .await
            .map_err(|error| self.broken(&error))?;
        match serde_json::from_slice(&body) {
            Ok(problem) => Err(Error::Refused { status, problem }),
            Err(_) if error::is_not_now(status) => Err(Error::Away {
                api: self.shown(),
                status,
            }),
            Err(_) => Err(self.unexpected(format!("status {status}"))),
        }
    }

    fn broken(&self, error: &reqwest::Error) -> Error {
        let mut reason = error as &dyn std::error::Error;
        while let Some(source) = reason.source() {
            reason = source;
        }
        Error::Broken {
            api: self.shown(),
            reason: reason.to_string(),
        }
    }

    fn unexpected(&self, reason: String) -> Error {
        Error::Unexpected {
            api: self.shown(),
            reason,
        }
    }

    /// The address without a password that someone may have put into it.
    fn shown(&self) -> String {
        match self.base.parse::<Url>() {
            Ok(url) => format!(
                "{}{}",
                url.origin().ascii_serialization(),
                url.path().trim_end_matches('/')
            ),
            Err(_) => self.base.clone(),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost" | "[::1]") => true,
        Some(host) => host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}
