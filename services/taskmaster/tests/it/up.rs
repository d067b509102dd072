//! `taskmaster up` with servers of its own: up, used, stopped, found again; scaled, killed, cut off.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use taskmaster_testkit::{Api, Process, eventually};
use tempfile::TempDir;
use tokio::process::Command;

use crate::TASKMASTER;
use crate::processes::Runaways;

/// A folder that the servers' own user may enter.
pub(crate) fn folder() -> Result<TempDir> {
    let open_to_all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    Ok(tempfile::Builder::new()
        .permissions(open_to_all)
        .tempdir()?)
}

/// `taskmaster up` as a user types it, without the servers of the test run.
pub(crate) fn up_command(data: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(TASKMASTER);
    command
        .arg("up")
        .arg("--data-dir")
        .arg(data)
        .args(["--listen", "127.0.0.1:0"])
        .args(arguments);
    command.env_remove("DATABASE_URL").env_remove("AMQP_URL");
    command
}

pub(crate) struct Up {
    process: Process,
    api: Api,
}

pub(crate) async fn up(folder: &Path, arguments: &[&str]) -> Result<Up> {
    let log = folder.join(format!("up-{}.log", std::fs::read_dir(folder)?.count()));
    let mut process = Process::spawn(up_command(&folder.join("data"), arguments), &log)?;
    let address = eventually("taskmaster up is ready", async || {
        let log = process.log();
        ensure!(process.is_running()?, "{log}");
        let ready = log.lines().find_map(|line| {
            line.strip_prefix("TaskMaster is ready: ")
                .map(str::to_owned)
        });
        Ok(ready.ok_or(log))
    })
    .await?;
    Ok(Up {
        api: Api::new(address)?,
        process,
    })
}

impl Up {
    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    async fn workers(&self) -> Result<Vec<Value>> {
        let (_, body) = self.api.get("/api/v1/workers").await?;
        Ok(body["workers"].as_array().context("no workers")?.clone())
    }

    async fn online(&self, count: usize) -> Result<Vec<String>> {
        eventually(&format!("{count} workers are online"), async || {
            let workers = self.workers().await?;
            let names: Vec<String> = workers
                .iter()
                .filter(|worker| worker["status"] == "idle" || worker["status"] == "busy")
                .filter_map(|worker| Some(worker["name"].as_str()?.to_owned()))
                .collect();
            Ok(if names.len() == count {
                Ok(names)
            } else {
                Err(format!("{names:?}"))
            })
        })
        .await
    }

    /// Runs the command line client to its end: what it prints, and what it says beside that.
    async fn client(&self, arguments: &[&str]) -> Result<(String, String)> {
        let mut command = Command::new(TASKMASTER);
        command
            .args(arguments)
            .env("TASKMASTER_API", self.api.base());
        let output = command.output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (printed, said) = (text(&output.stdout), text(&output.stderr));
        ensure!(output.status.success(), "{arguments:?}: {said}");
        Ok((printed, said))
    }

    pub(crate) async fn interrupt(mut self) -> Result<String> {
        self.process.signal(Signal::INT)?;
        let status = self.process.wait().await?;
        let log = self.process.log();
        ensure!(status.success(), "{status}: {log}");
        Ok(log)
    }
}

/// The processes whose arguments or working files name `folder`: all that `up` ever started.
fn left_running(folder: &Path) -> Result<Vec<String>> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) || pid == std::process::id().to_string() {
            continue;
        }
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let (arguments, environment) = (read("cmdline"), read("environ"));
        let names =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(&*folder.to_string_lossy());
        if names(&arguments) || names(&environment) {
            left.push(format!(
                "{pid}: {}",
                String::from_utf8_lossy(&arguments).replace('\0', " ")
            ));
        }
    }
    Ok(left)
}

async fn nothing_is_left(folder: &Path) -> Result<()> {
    eventually("nothing is left running", async || {
        let left = left_running(folder)?;
        Ok(if left.is_empty() {
            Ok(())
        } else {
            Err(left.join("\n"))
        })
    })
    .await
}

#[tokio::test]
async fn everything_comes_up_stops_in_order_and_is_found_again() -> Result<()> {
    let folder = folder()?;
    let first = up(folder.path(), &["--workers", "2"]).await?;
    assert!(
        !left_running(folder.path())?.is_empty(),
        "the search finds what runs"
    );
    let id = first.api.submit(&json!({"command": "echo first"})).await?;
    first.api.wait(&id, "completed").await?;
    let later = first
        .api
        .submit(&json!({"command": "echo later", "delay_seconds": 5}))
        .await?;
    let log = first.interrupt().await?;
    let place = |text: &str| {
        log.find(text)
            .with_context(|| format!("no {text:?} in {log}"))
    };
    let order = [
        place("stopping the API")?,
        place("draining 2 workers")?,
        place("stopping RabbitMQ")?,
        place("stopping Postgres")?,
    ];
    assert!(order.is_sorted(), "{log}");
    nothing_is_left(folder.path()).await?;

    let second = up(folder.path(), &["--workers", "1"]).await?;
    assert_eq!(second.api.output(&id).await?, "first\n");
    second.api.wait(&later, "completed").await?;
    second.interrupt().await?;
    Ok(())
}

#[tokio::test]
async fn the_fleet_is_scaled_and_one_worker_killed_and_no_task_is_lost() -> Result<()> {
    let folder = folder()?;
    let up = up(folder.path(), &["--workers", "3", "--slots", "2"]).await?;
    let ids = up
        .api
        .submit_all(&vec![json!({"command": "sleep 0.2"}); 60])
        .await?;
    let (status, scaled) = up
        .api
        .post("/api/workers/scale", &json!({"count": 5}))
        .await?;
    assert_eq!((status, &scaled["count"]), (200, &json!(5)), "{scaled}");
    up.online(5).await?;
    let (status, scaled) = up
        .api
        .post("/api/workers/scale", &json!({"count": 2}))
        .await?;
    assert_eq!(status, 200, "{scaled}");
    assert_eq!(
        scaled["draining"].as_array().map(Vec::len),
        Some(3),
        "{scaled}"
    );
    let names = up.online(2).await?;

    for name in ["worker-99", "postgres"] {
        let (status, problem) = up
            .api
            .post("/api/workers/kill", &json!({"name": name}))
            .await?;
        assert_eq!(status, 404, "{problem}");
    }
    let (status, _) = up
        .api
        .post("/api/workers/kill", &json!({"name": names[0]}))
        .await?;
    assert_eq!(status, 200);
    assert_eq!(up.online(1).await?, names[1..]);
    for id in &ids {
        let task = up.api.wait(id, "completed").await?;
        assert_eq!(
            task["attempt"], 1,
            "no attempt is lost by scaling or by a kill that lets it finish"
        );
    }
    let (printed, said) = up.client(&["scale", "2"]).await?;
    assert_eq!(printed, "scaled to 2: 1 started, 0 draining\n");
    assert!(said.trim_end().ends_with(" started"), "{said}");

    let (listed, _) = up.client(&["audit", "--json"]).await?;
    let done = |line: &str| -> Result<Value> {
        let entry: Value = serde_json::from_str(line)?;
        Ok(json!([entry["action"], entry["outcome"], entry["request"]]))
    };
    let done: Vec<Value> = listed.lines().skip(1).map(done).collect::<Result<_>>()?;
    assert_eq!(
        done,
        [
            json!(["fleet.kill", "done", {"name": names[0]}]),
            json!(["fleet.kill", "refused", {"name": "postgres"}]),
            json!(["fleet.kill", "refused", {"name": "worker-99"}]),
            json!(["fleet.scale", "done", {"count": 2}]),
            json!(["fleet.scale", "done", {"count": 5}]),
        ]
    );
    let newest: Value = serde_json::from_str(listed.lines().next().context("nothing is listed")?)?;
    let id = newest["id"]
        .as_str()
        .context("an operation without an id")?;
    let (shown, _) = up.client(&["audit", id]).await?;
    assert!(
        shown.contains("fleet.scale") && shown.contains("count 2"),
        "{shown}"
    );
    let (table, _) = up.client(&["audit", "--limit", "1"]).await?;
    assert_eq!(table.lines().count(), 2, "{table}");
    up.interrupt().await?;
    Ok(())
}

#[tokio::test]
async fn a_worker_that_was_drained_stays_away_until_the_fleet_grows() -> Result<()> {
    let folder = folder()?;
    let up = up(folder.path(), &["--workers", "2"]).await?;
    let before = up.workers().await?;
    let path = "/api/v1/workers/worker-1/drain";
    let (status, worker) = up.api.post(path, &Value::Null).await?;
    assert_eq!((status, &worker["status"]), (202, &json!("draining")));
    // At once, not when it has gone: who scales now gets as many as they say.
    let (_, fleet) = up.api.get("/api/v1/fleet").await?;
    assert_eq!(fleet["desired"], 1);
    eventually("it is gone", async || {
        let (status, problem) = up.api.post(path, &Value::Null).await?;
        Ok(if status == 409 {
            Ok(())
        } else {
            Err(problem.to_string())
        })
    })
    .await?;
    assert_eq!(up.online(1).await?, ["worker-2"]);
    let (_, scaled) = up
        .api
        .post("/api/workers/scale", &json!({"count": 2}))
        .await?;
    assert_eq!(
        scaled["started"].as_array().map(Vec::len),
        Some(1),
        "nobody had started it again: {scaled}"
    );
    up.online(2).await?;
    let after = up.workers().await?;
    let untouched = |all: &[Value]| {
        all.iter()
            .find(|worker| worker["name"] == "worker-2")
            .cloned()
    };
    assert_eq!(
        untouched(&after).map(|worker| worker["pid"].clone()),
        untouched(&before).map(|worker| worker["pid"].clone())
    );
    up.interrupt().await?;
    Ok(())
}

#[tokio::test]
async fn a_worker_that_dies_is_started_again_and_its_tasks_complete() -> Result<()> {
    let folder = folder()?;
    let up = up(folder.path(), &["--workers", "2", "--slots", "4"]).await?;
    let command = "test $TASKMASTER_ATTEMPT = 2 || sleep 1000";
    let ids = up
        .api
        .submit_all(&vec![json!({"command": command, "max_attempts": 2}); 4])
        .await?;
    for id in &ids {
        up.api.wait(id, "running").await?;
    }
    let before = up.workers().await?;
    let victim = before
        .iter()
        .find(|worker| worker["running"] != 0)
        .context("nobody runs anything")?;
    let pid = victim["pid"]
        .as_i64()
        .and_then(|pid| Pid::from_raw(pid as i32))
        .context("no pid")?;
    let ran: Vec<&str> = victim["current_task_ids"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    kill_process(pid, Signal::KILL)?;
    for id in &ran {
        let task = up.api.wait(id, "completed").await?;
        assert_eq!(task["attempt"], 2);
        assert_eq!(up.api.attempts(id).await?[0]["outcome"], "lost");
    }
    up.online(2).await?;
    let after = up.workers().await?;
    let again = after
        .iter()
        .find(|worker| worker["name"] == victim["name"])
        .context("it is gone")?;
    assert_ne!(again["pid"], victim["pid"]);
    for id in ids.iter().filter(|id| !ran.contains(&id.as_str())) {
        let (status, _) = up
            .api
            .post(&format!("/api/v1/tasks/{id}/cancel"), &Value::Null)
            .await?;
        assert_eq!(status, 200);
        up.api.wait(id, "cancelled").await?;
    }
    up.interrupt().await?;
    Ok(())
}

#[tokio::test]
async fn when_it_is_killed_everything_it_started_ends() -> Result<()> {
    let folder = folder()?;
    let mut up = up(folder.path(), &["--workers", "2"]).await?;
    let runaways = Runaways::new();
    let task = json!({"command": runaways.command("sleep 1000")});
    up.api.submit(&task).await?;
    runaways.all().await?;
    up.process.kill().await?;
    runaways.none().await?;
    nothing_is_left(folder.path()).await?;
    let again = self::up(folder.path(), &["--workers", "1"]).await?;
    let id = again.api.submit(&json!({"command": "true"})).await?;
    again.api.wait(&id, "completed").await?;
    again.interrupt().await?;
    Ok(())
}

/// Where the private servers keep their data.
pub(crate) fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

#[tokio::test]
async fn one_folder_has_one_owner() -> Result<()> {
    let folder = folder()?;
    let first = up(folder.path(), &["--workers", "1"]).await?;
    let second = up_command(&data(&folder), &[]).output().await?;
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(
        said.contains("--data-dir") && said.trim().lines().count() == 1,
        "{said}"
    );
    let (status, _) = first.api.get("/readyz").await?;
    assert_eq!(status, 200, "the first one is untouched");
    first.interrupt().await?;
    Ok(())
}
