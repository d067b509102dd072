//! Is a server ready? Asked in its own protocol, with as little of it as answers the question.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(2);

/// Whether Postgres asks a client for its password: it takes connections then, no longer (or not yet) "is starting up".
pub(crate) async fn postgres(port: u16) -> bool {
    answers(async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        // A start-up packet: its length, protocol 3.0, and pairs of strings, ended by an empty one.
        let pairs = b"user\0taskmaster\0database\0taskmaster\0\0";
        let length = u32::try_from(8 + pairs.len()).map_err(io::Error::other)?;
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(&(3_u32 << 16).to_be_bytes()).await?;
        stream.write_all(pairs).await?;
        // 'R' asks for authentication, 'E' is an error.
        Ok(stream.read_u8().await? == b'R')
    })
    .await
}

/// Whether RabbitMQ lets our user in: it listens, its database is loaded, and it is really our own node.
pub(crate) async fn rabbitmq(port: u16, user: &str, password: &str) -> bool {
    answers(async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await?;
        if amqp_method(&mut stream).await? != (10, 10) {
            return Ok(false);
        }
        stream.write_all(&start_ok(user, password)?).await?;
        // Connection.Tune means that the password was right.
        Ok(amqp_method(&mut stream).await? == (10, 30))
    })
    .await
}

/// Resolves when something listens on the port.
pub(crate) async fn listening(port: u16) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    loop {
        tick.tick().await;
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
    }
}

async fn answers(question: impl Future<Output = io::Result<bool>>) -> bool {
    matches!(timeout(PATIENCE, question).await, Ok(Ok(true)))
}

/// Reads one method frame of AMQP 0-9-1 and returns its class and method.
async fn amqp_method(stream: &mut TcpStream) -> io::Result<(u16, u16)> {
    let (kind, _channel, size) = (
        stream.read_u8().await?,
        stream.read_u16().await?,
        stream.read_u32().await?,
    );
    if kind != 1 || !(4..=1 << 16).contains(&size) {
        return Err(io::Error::other("not a method frame"));
    }
    let method = (stream.read_u16().await?, stream.read_u16().await?);
    let rest = usize::try_from(size - 4).map_err(io::Error::other)? + 1;
    stream.read_exact(&mut vec![0; rest]).await?;
    Ok(method)
}

/// The frame of Connection.StartOk with PLAIN.
fn start_ok(user: &str, password: &str) -> io::Result<Vec<u8>> {
    let response = format!("\0{user}\0{password}");
    let mut payload = vec![0, 10, 0, 11]; // Connection, StartOk
    payload.extend([0; 4]); // no client properties
    payload.extend(b"\x05PLAIN");
    payload.extend(
        u32::try_from(response.len())
            .map_err(io::Error::other)?
            .to_be_bytes(),
    );
    payload.extend(response.as_bytes());
    payload.extend(b"\x05en_US");
    let mut frame = vec![1, 0, 0]; // a method on channel 0
    frame.extend(
        u32::try_from(payload.len())
            .map_err(io::Error::other)?
            .to_be_bytes(),
    );
    frame.extend(payload);
    frame.push(0xCE);
    Ok(frame)
}
