//! The log file of one server: its output is appended there, and read from there when it fails.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A log longer than this at a start is set aside (as `….1`), so that it does not grow forever.
const KEEP_BYTES: u64 = 16 << 20;

/// One server's log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    path: PathBuf,
}

impl Log {
    /// The log at `path`; set aside if it has grown too long.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        if fs::metadata(&path).is_ok_and(|log| log.len() > KEEP_BYTES) {
            fs::rename(&path, path.with_extension("log.1"))?;
        }
        Ok(Self { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Sends a command's output here. Returns where that output will begin.
    pub(crate) fn capture(&self, command: &mut Command) -> io::Result<u64> {
        let file = self.append()?;
        let begin = file.metadata()?.len();
        command.stdout(Stdio::from(file.try_clone()?));
        command.stderr(Stdio::from(file));
        Ok(begin)
    }

    /// What was written since `begin`, at most its last 16 KiB.
    pub(crate) fn since(&self, begin: u64) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            let end = file.metadata()?.len();
            file.seek(SeekFrom::Start(begin.max(end.saturating_sub(16 << 10))))?;
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            Ok(text)
        };
        String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
    }

    fn append(&self) -> io::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)
    }
}

/// The last few lines that say something, in one line, without colours.
pub(crate) fn tail(text: &str) -> String {
    let mut lines: Vec<String> = text
        .lines()
        .rev()
        .map(|line| plain(line).trim().to_owned())
        .filter(|line| !line.is_empty())
        .take(4)
        .collect();
    lines.reverse();
    if lines.is_empty() {
        "it wrote nothing".to_owned()
    } else {
        lines.join(" / ")
    }
}

/// A line without the escape sequences that colour it.
fn plain(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default();
    parts
        .map(|part| part.split_once('m').map_or(part, |(_, text)| text))
        .fold(first.to_owned(), |plain, part| plain + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_is_one_line() {
        assert_eq!(tail("a\nb\n\n c \nd\ne\n"), "b / c / d / e");
        assert_eq!(tail("\n"), "it wrote nothing");
        assert_eq!(tail("\u{1b}[38;5;87mred moon\u{1b}[0m"), "red moon");
    }
}
