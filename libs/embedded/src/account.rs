//! Who the servers run as. Postgres refuses root, and RabbitMQ should not need it: when we are root, both run as an
//! unprivileged account; otherwise they run as we do.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// An unprivileged account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// The account for a server whose data is (or will be) at `data`; `None` when we are not root, or when there is no
    /// account to change to (which the server will then complain about in its own words).
    ///
    /// Data that exists already keeps its owner, so that a folder made by an ordinary user stays theirs after one start as root.
    pub(crate) fn choose(preferred: &str, data: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        if let Ok(data) = fs::metadata(data)
            && data.uid() != 0
        {
            let name = find(&accounts, |account| account.uid == data.uid())
                .map_or_else(|| data.uid().to_string(), |account| account.name);
            return Some(Self {
                name,
                uid: data.uid(),
                gid: data.gid(),
            });
        }
        [preferred, "nobody"]
            .into_iter()
            .find_map(|name| find(&accounts, |account| account.name == name))
    }
}

/// The first account of a passwd file that fits.
fn find(passwd: &str, fits: impl Fn(&Account) -> bool) -> Option<Account> {
    passwd
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(Account { name, uid, gid })
        })
        .find(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_passwd_lines_and_skips_what_is_none() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n";
        let found = find(passwd, |account| account.name == "postgres");
        assert_eq!(
            found,
            Some(Account {
                name: "postgres".to_owned(),
                uid: 101,
                gid: 104
            })
        );
        assert_eq!(find(passwd, |account| account.name == "nobody"), None);
    }
}
