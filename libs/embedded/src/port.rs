//! Free ports on 127.0.0.1.

use std::{fs, io, net::TcpListener, ops::Range};

/// `last` if it is free, else another free port.
pub(crate) fn choose(last: Option<u16>) -> io::Result<u16> {
    if let Some(port) = last
        && is_free(port)
    {
        return Ok(port);
    }
    // Below the range that outgoing connections get theirs from: a client that keeps trying a stopped server's port from
    // that range sooner or later connects to itself, and the server finds its port taken when it comes back.
    let range = below_ephemeral();
    for _ in 0..200 {
        let port = rand::random_range(range.clone());
        if is_free(port) {
            return Ok(port);
        }
    }
    TcpListener::bind(("127.0.0.1", 0))?
        .local_addr()
        .map(|address| address.port())
}

/// Whether a server could listen there now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn below_ephemeral() -> Range<u16> {
    let lowest = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .unwrap_or(32_768_u16);
    if lowest > 16_384 {
        10_240..lowest
    } else {
        // A machine whose outgoing connections use nearly every port; the upper end is then as good as any.
        lowest.max(1_024)..u16::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_port_only_while_it_is_free() {
        let port = choose(None).unwrap();
        assert_eq!(choose(Some(port)).unwrap(), port);
        let _taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert_ne!(choose(Some(port)).unwrap(), port);
    }
}
