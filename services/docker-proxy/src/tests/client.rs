//! Whoever asks the proxy: bytes over TCP, so that nothing of a request is put right on the way.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::DockerHost;
use crate::engine::Engine;
use crate::ours::Ours;
use crate::proxy::{Proxy, router};

/// How many requests the proxy answers at once: more than it reads bodies of.
pub(super) const MOST_REQUESTS: usize = 10;

/// A proxy, and how to ask it. One that was started here ends with this.
pub(super) struct Client {
    pub(super) address: SocketAddr,
    _serving: Option<AbortOnDropHandle<()>>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Lower case.
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// Refused with this status, and a reason as the engine gives them.
    pub(super) fn assert_refused(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.json()["message"].is_string(), "{self:?}");
    }
}

impl Client {
    pub(super) async fn start(engine: SocketAddr, ours: Ours) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let engine = Engine::new(DockerHost::Tcp(engine.to_string()));
        let router = router(Arc::new(Proxy::new(engine, ours, MOST_REQUESTS)));
        let serving = async move { axum::serve(listener, router).await.unwrap() };
        Self {
            _serving: Some(AbortOnDropHandle::new(tokio::spawn(serving))),
            ..Self::of(address)
        }
    }

    /// For a proxy that was started elsewhere.
    pub(super) fn of(address: SocketAddr) -> Self {
        Self {
            address,
            _serving: None,
        }
    }

    /// `line`: method and target.
    pub(super) async fn ask(&self, line: &str) -> Answer {
        self.send(line, "", "").await
    }

    pub(super) async fn post(&self, target: &str, body: &Value) -> Answer {
        self.send(&format!("POST {target}"), "", &body.to_string())
            .await
    }

    /// `headers`: each with its line's end.
    pub(super) async fn send(&self, line: &str, headers: &str, body: &str) -> Answer {
        let mut stream = self.open(line, headers, body).await;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    /// Sends a request and leaves the answer to be read.
    pub(super) async fn open(&self, line: &str, headers: &str, body: &str) -> TcpStream {
        let length = match body.len() {
            0 => String::new(),
            length => format!("Content-Length: {length}\r\n"),
        };
        let host = match headers.contains("Host: ") {
            true => "",
            false => "Host: docker-proxy\r\n",
        };
        let request =
            format!("{line} HTTP/1.1\r\n{host}Connection: close\r\n{length}{headers}\r\n{body}");
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }
}
