//! A small disk of its own for the output that Postgres stores, so that it can be filled.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use taskmaster_store::{PgPool, witness};
use tokio::process::Command;

/// How large it is.
const SIZE: &str = "size=256m";

/// See the module. Mounted as long as this value lives.
#[derive(Debug)]
pub(crate) struct OutputDisk(PathBuf);

impl OutputDisk {
    /// Mounts it in `folder` and lets the Postgres there store output on it.
    ///
    /// # Errors
    /// When this process may not mount, or Postgres not use it.
    pub(crate) async fn mount(folder: &Path, pool: &PgPool) -> Result<Self> {
        let point = folder.join("output-disk");
        std::fs::create_dir_all(&point)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "taskmaster-chaos"])
            .arg(&point)
            .output()
            .await?;
        if !mounted.status.success() {
            bail!(
                "cannot mount a disk to fill: {}",
                String::from_utf8_lossy(&mounted.stderr).trim()
            );
        }
        let disk = Self(point);
        let space = disk.0.join("postgres");
        std::fs::create_dir(&space)?;
        // Postgres's user: the one that its data belongs to.
        let data = std::fs::metadata(folder.join("postgres").join("data"))?;
        chown(&space, Some(data.uid()), Some(data.gid()))?;
        let path = space.to_str().context("a path that is not UTF-8")?;
        witness::keep_output_in(pool, path).await?;
        Ok(disk)
    }

    /// The file that takes the room that is left.
    pub(crate) fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for OutputDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there keeps it.
        let unmounted = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
        if !unmounted.is_ok_and(|status| status.success()) {
            tracing::warn!("{} could not be unmounted", self.0.display());
        }
    }
}
