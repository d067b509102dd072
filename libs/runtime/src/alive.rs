//! A file that is touched for as long as the service's own runtime turns: what a container's check looks at.
//!
//! It tells that the process is there and that its timers fire, not that Postgres or RabbitMQ are: whoever restarts what
//! is not well must not restart a service that waits for them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::MissedTickBehavior;

/// Names the file. Without it none is written.
pub const ALIVE_FILE: &str = "TASKMASTER_ALIVE_FILE";

/// How often it is touched.
const EVERY: Duration = Duration::from_secs(1);

/// Touches the file that `TASKMASTER_ALIVE_FILE` names, each second, until the runtime ends. Call it once, within the
/// runtime; without the variable nothing happens.
pub fn keep_alive_file() {
    if let Some(file) = std::env::var_os(ALIVE_FILE).filter(|file| !file.is_empty()) {
        tokio::spawn(keep_touching(file.into()));
    }
}

/// How long ago `file` was touched.
///
/// # Errors
/// When it is not there, or cannot be looked at.
pub fn last_alive(file: &Path) -> io::Result<Duration> {
    let touched = file.metadata()?.modified()?;
    // Touched a moment after we asked for the time.
    Ok(SystemTime::now()
        .duration_since(touched)
        .unwrap_or_default())
}

async fn keep_touching(file: PathBuf) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tick.tick().await;
        match touch(&file) {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(file = %file.display(), %error, "cannot touch the file that shows that this service lives");
            }
            Err(_) => {}
        }
    }
}

fn touch(file: &Path) -> io::Result<()> {
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(file)?
        .set_modified(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_file_is_new_as_long_as_the_runtime_turns() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("alive");
        assert!(last_alive(&file).is_err());

        let touching = tokio::spawn(keep_touching(file.clone()));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(last_alive(&file).unwrap() < Duration::from_secs(60));

        let hour = Duration::from_secs(3600);
        let make_old = || {
            let old = SystemTime::now() - hour;
            let open = File::options().write(true).open(&file).unwrap();
            open.set_modified(old).unwrap();
        };
        make_old();
        assert!(last_alive(&file).unwrap() >= hour);
        tokio::time::sleep(EVERY).await;
        assert!(last_alive(&file).unwrap() < Duration::from_secs(60));

        // Somebody tidied up.
        std::fs::remove_file(&file).unwrap();
        tokio::time::sleep(EVERY).await;
        assert!(last_alive(&file).is_ok());

        touching.abort();
        assert!(touching.await.unwrap_err().is_cancelled());
        make_old();
        tokio::time::sleep(EVERY * 3).await;
        assert!(last_alive(&file).unwrap() >= hour);
    }
}
