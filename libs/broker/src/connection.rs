//! Opens one connection within a time-out and leaves nothing behind when that fails.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::tcp::{AsyncTcpStream, TLSConfig};
use lapin::uri::AMQPScheme;
use lapin::{Connection, ConnectionProperties};
use tokio::time::timeout;

use crate::{BrokerConfig, Error};

/// How long RabbitMQ may take to accept a connection.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long RabbitMQ may take to confirm what was published.
pub(crate) const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest frame of a connection. lapin takes 64 times as much memory for its buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frames {
    /// 16 KiB, so 1 MiB of buffers: for our own small messages.
    Small,
    /// What RabbitMQ offers, 128 KiB unless configured, so 8 MiB of buffers: where others choose what they send,
    /// because all headers of a message have to fit in one frame.
    AsOffered,
}

impl Frames {
    pub(crate) fn max(self) -> Option<u32> {
        match self {
            Self::Small => Some(16 * 1024),
            Self::AsOffered => None,
        }
    }
}

/// What the connection is called in RabbitMQ's own tools.
pub(crate) fn properties(name: &str) -> ConnectionProperties {
    ConnectionProperties::default().with_connection_name(name.into())
}

/// Opens a connection. Given up, by time-out or by dropping the future, it closes its socket:
/// the thread that lapin starts for it would otherwise wait for ever for a broker that never answers.
pub(crate) async fn open(
    config: &BrokerConfig,
    name: &str,
    frames: Frames,
) -> Result<Connection, Error> {
    let mut uri = config.uri()?;
    uri.query.frame_max = uri.query.frame_max.or(frames.max());
    let address = config.redacted();
    let handshake = Handshake::default();
    let socket = handshake.socket.clone();
    let authorities = config.authorities();
    let connecting = Connection::connector(
        uri,
        lapin::runtime::default_runtime()?,
        async move |uri, runtime| {
            let host = uri.authority.host;
            let connecting = async {
                let addresses: Vec<SocketAddr> =
                    tokio::net::lookup_host((host.as_str(), uri.authority.port))
                        .await?
                        .collect();
                let stream = AsyncTcpStream::connect(&runtime, addresses).await?;
                if let AsyncTcpStream::Plain(tcp) = &stream {
                    lock(&socket).opened(tcp.get_ref().as_fd().try_clone_to_owned()?.into())?;
                }
                match uri.scheme {
                    AMQPScheme::AMQP => Ok(stream),
                    AMQPScheme::AMQPS => {
                        let authorities = read(authorities.as_deref()).await?;
                        let trust = TLSConfig {
                            cert_chain: authorities.as_deref(),
                            ..TLSConfig::default()
                        };
                        stream.into_tls(&host, trust).await
                    }
                }
            };
            let given_up = |_| io::Error::from(io::ErrorKind::TimedOut);
            let stream = timeout(CONNECT_TIMEOUT, connecting)
                .await
                .map_err(given_up)??;
            Ok(stream)
        },
        properties(name),
    );
    match timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => {
            handshake.done();
            Ok(connection)
        }
        Ok(Err(error)) => Err(Error::connecting(address, &error)),
        Err(_) => Err(Error::Timeout {
            address,
            after: CONNECT_TIMEOUT,
        }),
    }
}

/// Read anew for each connection, so that a file that was renewed counts.
async fn read(authorities: Option<&Path>) -> io::Result<Option<String>> {
    let Some(file) = authorities else {
        return Ok(None);
    };
    let text = tokio::fs::read_to_string(file).await.map_err(|error| {
        let what = format!("its cacertfile {} cannot be read: {error}", file.display());
        io::Error::new(error.kind(), what)
    })?;
    // What is no certificate would be passed over.
    if text.contains("-----BEGIN CERTIFICATE-----") {
        Ok(Some(text))
    } else {
        let what = format!(
            "its cacertfile {} has no certificate in PEM",
            file.display()
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, what))
    }
}

/// The result of something that RabbitMQ has to answer, or an error when it does not within 5 s.
pub(crate) async fn answered<T>(
    config: &BrokerConfig,
    question: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    answered_within(CONNECT_TIMEOUT, config, question).await
}

/// The same for what RabbitMQ may take another time for.
pub(crate) async fn answered_within<T>(
    limit: Duration,
    config: &BrokerConfig,
    question: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let late = |_| Error::Timeout {
        address: config.redacted(),
        after: limit,
    };
    timeout(limit, question).await.map_err(late)?
}

/// Says goodbye, so that RabbitMQ does not log a lost connection. Never waits long.
pub(crate) async fn close(connection: &Connection) {
    if let Ok(Err(error)) = timeout(CLOSE_TIMEOUT, connection.close(200, "OK".into())).await {
        tracing::trace!(%error, "the connection was already gone");
    }
}

/// Shuts the socket of a connection that is given up before it is open.
#[derive(Default)]
struct Handshake {
    socket: Arc<Mutex<Socket>>,
}

#[derive(Default)]
enum Socket {
    #[default]
    NotYet,
    Open(TcpStream),
    Done,
}

impl Socket {
    fn opened(&mut self, stream: TcpStream) -> io::Result<()> {
        match self {
            Self::NotYet | Self::Open(_) => *self = Self::Open(stream),
            Self::Done => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
        Ok(())
    }
}

fn lock(socket: &Mutex<Socket>) -> std::sync::MutexGuard<'_, Socket> {
    socket.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handshake {
    fn done(&self) {
        *lock(&self.socket) = Socket::Done;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let before = std::mem::replace(&mut *lock(&self.socket), Socket::Done);
        if let Socket::Open(stream) = before
            && let Err(error) = stream.shutdown(Shutdown::Both)
        {
            tracing::trace!(%error, "the socket was already closed");
        }
    }
}
