//! `taskmaster healthcheck`, as a container's engine runs it.

use anyhow::Result;
use rustix::process::Signal;
use taskmaster_testkit::{Process, Stack, eventually};

use crate::TASKMASTER;

/// Exit code and standard error of a check with these arguments.
async fn check(stack: &Stack, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let arguments = [&["healthcheck"], arguments].concat();
    let output = stack.command(&arguments).output().await?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code(), error))
}

#[tokio::test]
async fn a_service_that_hangs_is_told_from_one_that_works() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let file = stack.folder().join("alive");
        let path = file.to_string_lossy().into_owned();
        let (code, error) = check(stack, &["--file", &path]).await?;
        assert_eq!(code, Some(1));
        assert!(error.contains("has the service started?"), "{error}");

        let mut command = stack.command(&["worker", "--name", "worker-1"]);
        command.env("TASKMASTER_ALIVE_FILE", &file);
        let worker = Process::spawn(command, &stack.folder().join("worker-1.log"))?;
        for (signal, wanted) in [(None, 0), (Some(Signal::STOP), 1), (Some(Signal::CONT), 0)] {
            if let Some(signal) = signal {
                worker.signal(signal)?;
            }
            eventually("the check says so", async || {
                let (code, error) = check(stack, &["--file", &path, "--max-age", "2"]).await?;
                if code == Some(wanted) {
                    assert_eq!(wanted == 1, error.contains("the service hangs"), "{error}");
                    return Ok(Ok(()));
                }
                Ok(Err(error))
            })
            .await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_api_is_asked_itself() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let url = format!("{}/healthz", stack.api().base());
        assert_eq!(
            check(stack, &["--url", &url]).await?,
            (Some(0), String::new())
        );
        let (code, error) = check(stack, &["--url", "http://127.0.0.1:1/healthz"]).await?;
        assert_eq!(code, Some(1));
        assert!(error.contains("cannot reach"), "{error}");
        Ok(())
    })
    .await
}
