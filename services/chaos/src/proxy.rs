//! A TCP proxy that harms what passes through it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens to the bytes of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// They arrive.
    Up,
    /// They arrive this much later.
    Delayed(Duration),
    /// Connections are reset, and new ones too.
    Cut,
    /// Nothing arrives, and nobody is told: a cable that was pulled.
    Silent,
    /// What the client says arrives; before an answer comes back, the connection is reset.
    AnswersLost,
}

/// A link from a client to a server, by way of this process.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    condition: watch::Sender<Condition>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// Listens on a port of its own for what is meant for `server`.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn to(server: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (condition, watched) = watch::channel(Condition::Up);
        let accepting = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((client, _)) => drop(tokio::spawn(serve(client, server, watched.clone()))),
                    // Out of file descriptors, for a moment.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        });
        Ok(Self {
            address,
            condition,
            accepting,
        })
    }

    /// Where clients are to connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what happens from now on.
    pub fn set(&self, condition: Condition) {
        self.condition.send_replace(condition);
    }
}

async fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    mut condition: watch::Receiver<Condition>,
) {
    if *condition.borrow() == Condition::Cut {
        reset(&client);
        return;
    }
    let Ok(mut upstream) = TcpStream::connect(server).await else {
        reset(&client);
        return;
    };
    for stream in [&client, &upstream] {
        // Without it, small messages come late; the proxy is to add as little as it can.
        stream.set_nodelay(true).ok();
    }
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = upstream.split();
        let requests = carry(from_client, to_server, condition.clone(), false);
        let answers = carry(from_server, to_client, condition.clone(), true);
        tokio::select! {
            ended = async { tokio::try_join!(requests, answers) } => ended.is_ok(),
            _ = condition.wait_for(|condition| *condition == Condition::Cut) => false,
        }
    };
    if !ended {
        reset(&client);
        reset(&upstream);
    }
}

/// The link is broken: both ends are to hear of it.
struct Broken;

/// Carries one direction to its end.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut condition: watch::Receiver<Condition>,
    is_answer: bool,
) -> Result<(), Broken> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.map_err(|_| Broken)?;
        loop {
            let now = *condition.borrow_and_update();
            match now {
                Condition::Up => break,
                Condition::Delayed(delay) => {
                    tokio::time::sleep(delay).await;
                    break;
                }
                Condition::AnswersLost if is_answer => return Err(Broken),
                Condition::AnswersLost => break,
                Condition::Cut | Condition::Silent => {
                    condition.changed().await.map_err(|_| Broken)?;
                }
            }
        }
        if read == 0 {
            return to.shutdown().await.map_err(|_| Broken);
        }
        to.write_all(&buffer[..read]).await.map_err(|_| Broken)?;
    }
}

/// Makes the other side see a reset instead of an orderly end.
fn reset(stream: &TcpStream) {
    stream.set_zero_linger().ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers every byte with the next one.
    async fn server() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok(byte) = stream.read_u8().await {
                        if stream.write_u8(byte + 1).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    async fn ask(stream: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
        stream.write_u8(byte).await?;
        stream.read_u8().await
    }

    #[tokio::test]
    async fn carries_delays_holds_and_cuts() {
        let proxy = Proxy::to(server().await).await.unwrap();
        let connect = || TcpStream::connect(proxy.address());
        let mut stream = connect().await.unwrap();
        assert_eq!(ask(&mut stream, 1).await.unwrap(), 2);

        let delay = Duration::from_millis(30);
        proxy.set(Condition::Delayed(delay));
        let asked = std::time::Instant::now();
        assert_eq!(ask(&mut stream, 2).await.unwrap(), 3);
        assert!(asked.elapsed() >= 2 * delay);

        proxy.set(Condition::Silent);
        stream.write_u8(3).await.unwrap();
        let answer = tokio::time::timeout(delay, stream.read_u8()).await;
        assert!(answer.is_err(), "nothing comes and nothing ends");
        proxy.set(Condition::Up);
        assert_eq!(stream.read_u8().await.unwrap(), 4);

        proxy.set(Condition::Cut);
        assert!(stream.read_u8().await.is_err());
        assert!(ask(&mut connect().await.unwrap(), 1).await.is_err());
        proxy.set(Condition::Up);
        assert_eq!(ask(&mut connect().await.unwrap(), 1).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn an_answer_is_lost_after_the_question_arrived() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let proxy = Proxy::to(listener.local_addr().unwrap()).await.unwrap();
        proxy.set(Condition::AnswersLost);
        let mut client = TcpStream::connect(proxy.address()).await.unwrap();
        client.write_u8(7).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), 7);
        server.write_u8(8).await.unwrap();
        assert!(client.read_u8().await.is_err());
        assert!(server.read_u8().await.is_err());
    }
}
