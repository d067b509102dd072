//! Asking the Docker engine: one connection for each request, and a limit for each answer.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::DockerHost;

/// For what only looks.
const READ_LIMIT: Duration = Duration::from_secs(20);
/// An engine with much to do needs long for a container.
const CHANGE_LIMIT: Duration = Duration::from_secs(60);
/// The most of an answer that is kept, in bytes. A worker is some 4,000, and a Swarm remembers five of each.
const LONGEST_ANSWER: usize = 8 << 20;

/// The headers of the engine's that callers get.
const PASSED_ON: [&str; 5] = [
    "content-type",
    "api-version",
    "docker-experimental",
    "ostype",
    "swarm",
];

/// Why the engine has not answered. The texts are for callers and name no path.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    /// There is no connection.
    #[error("the Docker engine cannot be reached")]
    Unreachable(#[source] io::Error),
    /// The connection broke.
    #[error("the Docker engine broke off")]
    Broken(#[source] hyper::Error),
    /// It took longer than its limit.
    #[error("the Docker engine does not answer")]
    Late,
    /// The answer is too long, or not what such a request is answered with.
    #[error("the Docker engine's answer is not understood: {0}")]
    Odd(&'static str),
}

impl IntoResponse for EngineError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::Unreachable(_) | Self::Broken(_) | Self::Odd(_) => StatusCode::BAD_GATEWAY,
        };
        crate::refusal::message(status, &self.to_string())
    }
}

/// A request to the engine, made here and nowhere else.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    method: Method,
    target: String,
    body: Bytes,
}

impl Ask {
    /// `target`: path and query, encoded.
    pub(crate) fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    pub(crate) fn post(target: impl Into<String>) -> Self {
        Self::new(Method::POST, target)
    }

    pub(crate) fn with(self, body: &Value) -> Self {
        Self {
            body: body.to_string().into(),
            ..self
        }
    }

    fn limit(&self) -> Duration {
        if self.method == Method::GET || self.method == Method::HEAD {
            READ_LIMIT
        } else {
            CHANGE_LIMIT
        }
    }
}

/// An answer that has come to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, EngineError> {
        serde_json::from_slice(&self.body).map_err(|_| EngineError::Odd("no JSON"))
    }

    /// The same with another body.
    pub(crate) fn with(self, body: &Value) -> Self {
        Self {
            body: body.to_string().into(),
            ..self
        }
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let headers = passed_on(&self.headers);
        (self.status, headers, Body::from(self.body)).into_response()
    }
}

/// The Docker engine.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    host: DockerHost,
}

impl Engine {
    pub(crate) fn new(host: DockerHost) -> Self {
        Self { host }
    }

    /// The whole answer, within the limit of such a request.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<Answer, EngineError> {
        let limit = ask.limit();
        timeout(limit, self.whole(ask))
            .await
            .map_err(|_| EngineError::Late)?
    }

    /// The whole answer, whenever it comes.
    pub(crate) async fn whole(&self, ask: Ask) -> Result<Answer, EngineError> {
        let (head, body) = self.send(ask).await?.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => EngineError::Broken(*error),
            Err(_) => EngineError::Odd("too long"),
        })?;
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.to_bytes(),
        })
    }

    /// The answer as it comes, for as long as it does. That it has begun is said at once.
    pub(crate) async fn stream(&self, ask: Ask) -> Result<Response, EngineError> {
        let answer = timeout(READ_LIMIT, self.send(ask)).await;
        let (head, body) = answer.map_err(|_| EngineError::Late)??.into_parts();
        Ok((head.status, passed_on(&head.headers), Body::new(body)).into_response())
    }

    async fn send(&self, ask: Ask) -> Result<hyper::Response<Incoming>, EngineError> {
        match &self.host {
            DockerHost::Unix(path) => {
                converse(connected(UnixStream::connect(path)).await?, "docker", ask).await
            }
            DockerHost::Tcp(authority) => {
                let stream = connected(TcpStream::connect(authority)).await?;
                converse(stream, authority, ask).await
            }
        }
    }
}

async fn connected<S>(connecting: impl Future<Output = io::Result<S>>) -> Result<S, EngineError> {
    let stream = timeout(READ_LIMIT, connecting).await;
    stream
        .map_err(|_| EngineError::Late)?
        .map_err(EngineError::Unreachable)
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: &str,
    ask: Ask,
) -> Result<hyper::Response<Incoming>, EngineError> {
    let mut request = hyper::Request::builder()
        .method(ask.method)
        .uri(ask.target)
        .header(HOST, host);
    if !ask.body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let request = request
        .body(Full::new(ask.body))
        .map_err(|_| EngineError::Odd("it cannot be asked for this"))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(EngineError::Broken)?;
    // It ends with the answer, or when nobody wants that any more. What goes wrong with it, the one who waits for the
    // answer hears as well.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await;
    answer.map_err(EngineError::Broken)
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    let known = PASSED_ON.iter();
    known
        .filter_map(|name| {
            let value = headers.get(*name)?;
            Some((HeaderName::from_static(name), value.clone()))
        })
        .collect()
}
