//! How often the kernel's out-of-memory killer has struck here: a process that it ends sees only a SIGKILL, like any
//! other, so its count before and after a run is what tells the two apart.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// The count of the memory group (cgroup) that this process is in, and that its commands are in with it; of the whole
/// machine where it is in none. Nothing on a system that counts nothing.
#[derive(Debug)]
pub(crate) struct OomKills(Option<File>);

impl OomKills {
    /// Finds the file that has the count.
    pub(crate) fn open() -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let found = candidates(&groups).into_iter().find_map(|path| {
            let file = File::open(path).ok()?;
            count(&file).is_some().then_some(file)
        });
        Self(found)
    }

    /// How many processes it has killed so far.
    pub(crate) fn count(&self) -> u64 {
        self.0.as_ref().and_then(count).unwrap_or_default()
    }
}

/// Where the count may be, best first: of version 1 and of version 2, by the path that this process sees, or at the
/// root, where a container sees its own group.
fn candidates(groups: &str) -> Vec<String> {
    let mut candidates = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let path = path.trim_end_matches('/');
        if controllers
            .split(',')
            .any(|controller| controller == "memory")
        {
            candidates.push(format!("/sys/fs/cgroup/memory{path}/memory.oom_control"));
            candidates.push("/sys/fs/cgroup/memory/memory.oom_control".to_owned());
        } else if controllers.is_empty() {
            candidates.push(format!("/sys/fs/cgroup{path}/memory.events"));
            candidates.push("/sys/fs/cgroup/memory.events".to_owned());
        }
    }
    candidates.push("/proc/vmstat".to_owned());
    candidates
}

/// All three have a line `oom_kill N`. Older kernels have not.
fn count(file: &File) -> Option<u64> {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        match file.read_at(&mut part, text.len() as u64).ok()? {
            0 => break,
            read => text.extend_from_slice(&part[..read]),
        }
    }
    String::from_utf8_lossy(&text)
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_count_is_looked_for_where_each_version_has_it() {
        let version_1 = "5:cpu,cpuacct:/x\n4:memory:/docker/1\n0::/\n";
        assert_eq!(
            candidates(version_1),
            [
                "/sys/fs/cgroup/memory/docker/1/memory.oom_control",
                "/sys/fs/cgroup/memory/memory.oom_control",
                "/sys/fs/cgroup/memory.events",
                "/sys/fs/cgroup/memory.events",
                "/proc/vmstat",
            ]
        );
        assert_eq!(
            candidates("0::/system.slice/a:b.service\n")[0],
            "/sys/fs/cgroup/system.slice/a:b.service/memory.events"
        );
    }

    #[test]
    fn the_count_is_read_from_each_kind_of_file() {
        let version_1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        let version_2 = "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 1\n";
        let long = format!("{}oom_kill 3\n", "nr_free_pages 1\n".repeat(1000));
        for (text, expected) in [
            (version_1, Some(3)),
            (version_2, Some(3)),
            (&long, Some(3)),
            ("oom_kill_disable 0\n", None),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            assert_eq!(count(&file), expected, "{text}");
        }
    }
}
