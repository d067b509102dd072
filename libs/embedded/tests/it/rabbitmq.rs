//! RabbitMQ: its data, its port, its users, its ends.

use std::{fs, path::Path, process::Command};

use secrecy::ExposeSecret;
use taskmaster_embedded::{Error, RabbitMq, RabbitMqConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    folder,
    processes::{LOOPBACK, family, gone, listens},
};

fn config(folder: &Path) -> RabbitMqConfig {
    RabbitMqConfig::new(folder.join("rabbitmq"))
}

/// Whether a node lets a user in: the beginning of AMQP 0-9-1, up to Connection.Tune.
async fn lets_in(port: u16, user: &str, password: &str) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
    let mut start = [0; 7];
    stream.read_exact(&mut start).await.unwrap();
    let size = u32::from_be_bytes(start[3..7].try_into().unwrap());
    stream
        .read_exact(&mut vec![0; size as usize + 1])
        .await
        .unwrap();

    let response = format!("\0{user}\0{password}");
    let mut ok = vec![0, 10, 0, 11, 0, 0, 0, 0];
    ok.extend(b"\x05PLAIN");
    ok.extend(u32::try_from(response.len()).unwrap().to_be_bytes());
    ok.extend(response.as_bytes());
    ok.extend(b"\x05en_US");
    let mut frame = vec![1, 0, 0];
    frame.extend(u32::try_from(ok.len()).unwrap().to_be_bytes());
    frame.extend(ok);
    frame.push(0xCE);
    stream.write_all(&frame).await.unwrap();
    let mut answer = [0; 11];
    match stream.read_exact(&mut answer).await {
        Ok(_) => answer[7..11] == [0, 10, 0, 30],
        Err(_) => false,
    }
}

#[tokio::test]
async fn keeps_data_and_port_and_survives_a_crash() {
    let folder = folder();
    let first = RabbitMq::start(config(folder.path())).await.unwrap();
    let (url, port) = (first.url(), first.port());
    let password = url
        .expose_secret()
        .split([':', '@'])
        .nth(2)
        .unwrap()
        .to_owned();
    assert!(lets_in(port, "taskmaster", &password).await);
    assert!(!lets_in(port, "taskmaster", "wrong").await);
    assert!(!lets_in(port, "guest", "guest").await);
    assert_eq!(listens(port), [LOOPBACK]);
    let error = RabbitMq::start(config(folder.path())).await.unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");

    // A crash: the same node, port and port mapper afterwards.
    let (node, epmd) = (family(first.pid().unwrap()), first.epmd_pid());
    assert!(node.len() > 1, "{node:?}");
    let exited = first.exited();
    first.kill().await;
    assert!(!exited.await.success());
    gone(&node).await;
    assert_eq!(first.pid(), None);
    first.restart().await.unwrap();
    assert_eq!((first.port(), first.epmd_pid()), (port, epmd));
    assert!(lets_in(port, "taskmaster", &password).await);

    let mut all = family(first.pid().unwrap());
    all.extend(epmd);
    first.stop().await;
    gone(&all).await;
    drop(first);

    let second = RabbitMq::start(config(folder.path())).await.unwrap();
    assert_eq!(second.url().expose_secret(), url.expose_secret());
    second.stop().await;
    // The user is only made where there is no data yet: the later starts have found it.
    let log = fs::read_to_string(second.log()).unwrap();
    assert_eq!(log.matches("Created user 'taskmaster'").count(), 1);
    assert_eq!(log.matches("Starting RabbitMQ").count(), 3);
}

#[tokio::test]
async fn a_broken_node_is_told_with_its_own_words() {
    let folder = folder();
    let script = folder.path().join("rabbitmq-server");
    // Written by another process: what this one has written may be "busy" when it is run, because another test's fork
    // still holds it open for a moment.
    let write =
        "printf '#!/bin/sh\necho BOOT FAILED: no luck\nexit 3\n' > \"$0\" && chmod 755 \"$0\"";
    let written = Command::new("sh").args(["-c", write]).arg(&script).status();
    assert!(written.unwrap().success());
    let mut broken = config(folder.path());
    broken.server = Some(script);
    let error = RabbitMq::start(broken).await.unwrap_err();
    assert!(
        matches!(&error, Error::Exited { status, .. } if status.code() == Some(3)),
        "{error}"
    );
    assert!(
        error.to_string().contains("BOOT FAILED: no luck"),
        "{error}"
    );
}
