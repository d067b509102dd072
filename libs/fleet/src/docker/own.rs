//! Which container this process is in.

use std::fs;

/// The id of our own container: 64 hexadecimal digits. `None` outside of containers.
///
/// The engine mounts a container's `/etc/hostname` from a folder that has its id; the host name itself may be anything,
/// and with cgroup v2 `/proc/self/cgroup` says nothing.
pub fn own_container() -> Option<String> {
    from_mounts(&fs::read_to_string("/proc/self/mountinfo").ok()?)
}

fn from_mounts(mounts: &str) -> Option<String> {
    mounts
        .lines()
        // The fourth field is what is mounted, the fifth where.
        .map(|line| line.split(' ').skip(3).take(2).collect::<Vec<_>>())
        .find_map(|fields| match fields[..] {
            [source, "/etc/hostname"] => {
                let id = source.strip_suffix("/hostname")?.rsplit('/').next()?;
                let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
                is_id.then(|| id.to_owned())
            }
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_in_the_mount_of_the_host_name() {
        let id = "0123456789abcdef".repeat(4);
        let mounts = format!(
            "841 838 0:48 / / ro,relatime - overlay overlay rw\n\
             859 841 254:1 /var/lib/docker/containers/{id}/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda1 rw\n\
             860 841 254:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw,relatime - ext4 /dev/vda1 rw\n"
        );
        assert_eq!(from_mounts(&mounts), Some(id));
    }

    #[test]
    fn elsewhere_there_is_none() {
        assert_eq!(from_mounts(""), None);
        let podman = "860 841 0:25 /containers/overlay-containers/12/hostname /etc/hostname rw - tmpfs tmpfs rw\n";
        assert_eq!(from_mounts(podman), None);
        assert_eq!(
            from_mounts("22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n"),
            None
        );
    }
}
