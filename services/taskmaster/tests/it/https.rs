//! The API behind nginx, as deploy/nginx.conf has it: TLS, a password, and streams that are passed on as they come.

use std::fs;
use std::net::TcpListener;
use std::process::Output;

use anyhow::{Context, Result};
use serde_json::json;
use taskmaster_testkit::{Process, Stack, eventually};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::TASKMASTER;
use crate::certificates::Certificates;

const CONFIGURATION: &str = include_str!("../../../../deploy/nginx.conf");

/// Starts nginx in front of the stack's API; returns its port.
async fn nginx(stack: &Stack, certificates: &Certificates) -> Result<(Process, u16)> {
    let folder = stack.folder().display().to_string();
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let api = stack.api().base().trim_start_matches("http://");
    fs::write(stack.folder().join("htpasswd"), "operator:{PLAIN}s3cret\n")?;
    let site = [
        ("127.0.0.1:8081", api),
        ("443 ssl", &format!("127.0.0.1:{port} ssl")),
        ("tasks.example.com;", "localhost;"),
        (
            "/etc/ssl/taskmaster/server.crt",
            &certificates.certificate(),
        ),
        ("/etc/ssl/taskmaster/server.key", &certificates.key()),
        (
            "/etc/nginx/taskmaster.htpasswd",
            &format!("{folder}/htpasswd"),
        ),
    ];
    let site = site
        .iter()
        .try_fold(CONFIGURATION.to_owned(), |text, (from, to)| {
            text.contains(from)
                .then(|| text.replace(from, to))
                .with_context(|| format!("no {from}"))
        })?;
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths = paths.map(|path| format!("{path}_temp_path {folder}/nginx-{path};"));
    let whole = format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr;\n\
         events {{}}\nhttp {{ access_log off; {}\n{site} }}\n",
        paths.concat()
    );
    let file = stack.folder().join("nginx.conf");
    fs::write(&file, whole)?;
    let mut command = Command::new("nginx");
    // Debian keeps it where not every user looks.
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{path}:/usr/sbin"))
        .arg("-c")
        .arg(&file);
    let process = Process::spawn(command, &stack.folder().join("nginx.log"))
        .context("is nginx installed? `cargo xtask setup` does it on Debian and Ubuntu")?;
    eventually("nginx listens", async || {
        Ok(TcpStream::connect(("127.0.0.1", port))
            .await
            .map(drop)
            .map_err(|_| process.log()))
    })
    .await?;
    Ok((process, port))
}

async fn submit(stack: &Stack, api: &str, authority: Option<&str>) -> Result<Output> {
    let mut command = stack.command(&["submit", "echo out", "--follow", "--api", api]);
    if let Some(authority) = authority {
        command.env("SSL_CERT_FILE", authority);
    }
    Ok(command.output().await?)
}

#[tokio::test]
async fn behind_nginx() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let certificates = Certificates::make(&stack.folder().join("tls")).await?;
        let authority = certificates.authority();
        let (_nginx, port) = nginx(stack, &certificates).await?;
        let _worker = stack.worker("worker-1", &[]).await?;

        let ours = format!("https://operator:s3cret@localhost:{port}");
        let followed = submit(stack, &ours, Some(&authority)).await?;
        assert_eq!(followed.status.code(), Some(0), "{followed:?}");
        assert_eq!(String::from_utf8_lossy(&followed.stdout), "out\n");

        for (api, authority, expected) in [
            (
                format!("https://localhost:{port}"),
                Some(&*authority),
                "401",
            ),
            (ours, None, "certificate"),
        ] {
            let refused = submit(stack, &api, authority).await?;
            let said = String::from_utf8_lossy(&refused.stderr);
            assert!(
                !refused.status.success() && said.contains(expected),
                "{said}"
            );
            assert!(!said.contains("s3cret"), "{said}");
        }
        let (_, page) = stack.api().get("/api/v1/tasks").await?;
        assert_eq!(page["tasks"].as_array().map(Vec::len), Some(1), "{page}");
        let id = &page["tasks"][0]["id"];
        let task = stack
            .api()
            .wait(id.as_str().context("no id")?, "completed")
            .await?;
        assert_eq!(task["exit_code"], json!(0));
        Ok(())
    })
    .await
}
