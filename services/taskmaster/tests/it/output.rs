//! Output under pressure: too much, without lines, binary, from many at once, and with no room to store it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use taskmaster_testkit::{Process, Stack, eventually, sqlx};

use crate::TASKMASTER;

/// The most memory that a process has had so far, in bytes.
fn peak_memory(process: &Process) -> Result<u64> {
    let pid = process.pid().context("it has ended")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: u64 = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("no VmHWM")?
        .parse()?;
    Ok(kilobytes * 1024)
}

#[tokio::test]
async fn a_gigabyte_costs_the_worker_no_memory_and_nobody_else_their_turn() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let worker = stack.worker("worker-1", &["--output-limit", "1000000"]).await?;
        let warm_up = stack.api().submit(&json!({"command": "echo up"})).await?;
        stack.api().wait(&warm_up, "completed").await?;
        let before = peak_memory(&worker)?;
        let go = stack.folder().join("go");
        // One endless line, bytes that are no text, and lines; each goes on until everybody has printed enough.
        let endless = format!("until test -e {}; do sleep 0.05; done", go.display());
        let tasks = [
            json!({"command": format!("head -c 1000000000 /dev/zero | tr '\\0' 'x'; {endless}; echo end")}),
            json!({"command": format!("head -c 100000000 /dev/urandom >&2; {endless}; echo end >&2")}),
            json!({"command": format!("yes 'a line' | head -c 200000000; {endless}; echo end")}),
        ];
        let ids = stack.api().submit_all(&tasks).await?;
        for id in &ids {
            stack.api().wait(id, "running").await?;
        }
        // While they print, others run.
        for _ in 0..10 {
            let id = stack.api().submit(&json!({"command": "echo other"})).await?;
            stack.api().wait(&id, "completed").await?;
            assert_eq!(stack.api().output(&id).await?, "other\n");
        }
        fs::write(&go, "")?;
        for id in &ids {
            stack.api().wait(id, "completed").await?;
            let output = stack.api().output(id).await?;
            assert!(output.ends_with("end\n"), "{:?}", output.chars().rev().take(80).collect::<String>());
            assert!(output.contains("bytes of output were cut here"));
        }
        let stored: i64 = sqlx::query_scalar("select max(bytes) from (select sum(length(data)) as bytes from output group by task_id) as x")
            .fetch_one(stack.pool())
            .await?;
        assert!(stored < 1_000_200, "{stored}");
        // Three captures of a megabyte, twice: as they are, and on their way to Postgres.
        let grown = peak_memory(&worker)? - before;
        assert!(grown < 40 << 20, "grown by {grown} bytes");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn bytes_that_are_no_text_are_kept_as_they_are() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack.worker("worker-1", &[]).await?;
        let command =
            "printf '\\377\\000\\376 a\\r\\nb\\033[31m'; printf '\\000 no text \\300' >&2; exit 1";
        let id = stack.api().submit(&json!({"command": command})).await?;
        let task = stack.api().wait(&id, "failed").await?;
        assert_eq!(task["error_message"], "exit code 1: no text \u{fffd}");
        let of = async |stream: &str| -> Result<Vec<u8>> {
            let pieces: Vec<Vec<u8>> =
                sqlx::query_scalar("select data from output where stream = $1 order by seq")
                    .bind(stream)
                    .fetch_all(stack.pool())
                    .await?;
            Ok(pieces.concat())
        };
        assert_eq!(of("stdout").await?, b"\xff\0\xfe a\r\nb\x1b[31m");
        assert_eq!(of("stderr").await?, b"\0 no text \xc0");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_hundred_that_print_at_once_are_each_kept_whole() -> Result<()> {
    Stack::run(TASKMASTER, async |stack| {
        let _worker = stack
            .worker("worker-1", &["--slots", "100", "--output-limit", "1000000"])
            .await?;
        let command = "seq -f \"$TASKMASTER_TASK_ID %.0f\" 1 5000";
        let ids = stack
            .api()
            .submit_all(&vec![json!({"command": command}); 100])
            .await?;
        for id in &ids {
            stack.api().wait(id, "completed").await?;
            let output = stack.api().output(id).await?;
            let expected: String = (1..=5000).map(|n| format!("{id} {n}\n")).collect();
            assert!(
                output == expected,
                "{} bytes instead of {}",
                output.len(),
                expected.len()
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_hundred_that_print_all_they_can_do_not_keep_the_worker_from_its_heartbeat() -> Result<()>
{
    Stack::run(TASKMASTER, async |stack| {
        let worker = stack
            .worker("worker-1", &["--slots", "100", "--output-limit", "1000000"])
            .await?;
        let task = json!({"command": "head -c 20000000 /dev/zero"});
        let ids = stack.api().submit_all(&vec![task; 100]).await?;
        for id in &ids {
            // A worker that is not heard of for so long that it must stop what it runs loses them: they fail.
            let ended = stack.api().wait(id, "completed").await?;
            assert_eq!(ended["attempt"], 1);
        }
        assert!(!worker.log().contains("out of reach"), "{}", worker.log());
        // A hundred captures of a megabyte, and what is on its way to Postgres.
        let peak = peak_memory(&worker)?;
        assert!(peak < 400 << 20, "{peak}");
        Ok(())
    })
    .await
}

/// A disk in memory. Gone with this.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// A disk of this size, in bytes, of whoever the files in `like` belong to. `None` where this user may mount nothing.
    fn new(folder: &Path, bytes: u64, like: &Path) -> Result<Option<Self>> {
        fs::create_dir(folder)?;
        let owner = fs::metadata(like)?;
        let (user, group) = (owner.uid(), owner.gid());
        let disk = Self(folder.to_owned());
        let options = format!("size={bytes},uid={user},gid={group}");
        Ok(disk.mount(&options).is_ok().then_some(disk))
    }

    fn mount(&self, options: &str) -> Result<()> {
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&self.0)
            .status()?;
        ensure!(status.success(), "mount: {status}");
        Ok(())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: Postgres may have files open.
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[tokio::test]
#[expect(
    clippy::print_stderr,
    reason = "a test that cannot be made here says so"
)]
async fn when_there_is_no_room_for_output_the_ends_are_recorded_all_the_same() -> Result<()> {
    Stack::run_private(TASKMASTER, async |stack| {
        let (place, data) = (stack.folder().join("disk"), stack.folder().join("postgres"));
        let Some(disk) = SmallDisk::new(&place, 4 << 20, &data)? else {
            ensure!(std::env::var_os("CI").is_none(), "CI can mount");
            eprintln!("NOT TESTED: a full disk. Nothing can be mounted here: run this as root");
            return Ok(());
        };
        let statements = [format!("create tablespace small location '{}'", place.display())];
        // The tables, with what is too long for a row, and their indexes.
        let moves: Vec<String> = sqlx::query_scalar(
            "select format('alter %s %s set tablespace small', kind, part.inhrelid::regclass)
             from pg_inherits part, (values ('table', 'output'), ('index', 'output_pkey')) as whole(kind, name)
             where part.inhparent = whole.name::regclass",
        )
        .fetch_all(stack.pool())
        .await?;
        for statement in statements.into_iter().chain(moves) {
            sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
                .execute(stack.pool())
                .await?;
        }

        let worker = stack.worker("worker-1", &[]).await?;
        let prints = json!({"command": "head -c 500000 /dev/urandom; echo oh no >&2; exit 3"});
        let ids = stack.api().submit_all(&vec![prints; 20]).await?;
        let mut told = 0;
        for id in &ids {
            let task = stack.api().wait(id, "failed").await?;
            let message = task["error_message"].as_str().context("no message")?;
            assert!(message.starts_with("exit code 3: oh no"), "{message}");
            // Among the output, if there was room for that.
            let lost = "bytes of output could not be stored: Postgres had no room for them";
            let output = stack.api().output(id).await?;
            let is_told = message.contains(lost) || output.contains(lost);
            let stored: i64 = sqlx::query_scalar(
                "select coalesce(sum(length(data)), 0) from output where task_id = $1::uuid and stream <> 'note'",
            )
            .bind(id)
            .fetch_one(stack.pool())
            .await?;
            assert_eq!(is_told, stored < 500_006, "{stored} bytes are stored, {message}");
            told += usize::from(is_told);
        }
        // No more than eight fit.
        assert!((12..=20).contains(&told), "{told} of 20");
        assert!(
            worker.log().contains("output is dropped"),
            "{}",
            worker.log()
        );

        // Room again: what is printed from now on is stored, and what was lost is remarked where it can be read.
        let drops = || worker.log().matches("output is dropped").count();
        let before = drops();
        let go = stack.folder().join("go");
        let command = format!(
            "head -c 500000 /dev/urandom; echo; until test -e {}; do sleep 0.05; done; echo end",
            go.display()
        );
        let id = stack.api().submit(&json!({"command": command})).await?;
        eventually("its first output is lost", async || {
            Ok(if drops() > before { Ok(()) } else { Err(worker.log()) })
        })
        .await?;
        disk.mount("remount,size=64m")?;
        fs::write(&go, "")?;
        let task = stack.api().wait(&id, "completed").await?;
        assert!(task["error_message"].is_null(), "{task}");
        let output = stack.api().output(&id).await?;
        let (printed, remark) = output.rsplit_once("\n[taskmaster: ").context("no remark")?;
        assert!(printed.ends_with("end\n"));
        assert!(remark.contains("bytes of output could not be stored"), "{remark}");
        Ok(())
    })
    .await
}
