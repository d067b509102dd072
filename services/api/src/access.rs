//! Is this request meant for us, and does it come from one of our pages? Checked before anything else is.
//!
//! A foreign web page can make its visitor's browser send requests to loopback, and with a name that it points there
//! (DNS rebinding) even read the answers. The first is seen by its `Origin`, the second by its `Host`. There are no CORS
//! headers, so a foreign page never reads an answer.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::config::AllowedHost;
use crate::error::ApiError;
use crate::state::ApiState;

/// The hosts by which the API may be called: loopback, the address it listens on, and those that were configured.
#[derive(Debug, Clone)]
pub(crate) struct AllowedHosts(Vec<String>);

impl AllowedHosts {
    /// Loopback needs not be among `configured`.
    pub(crate) fn new(listen: SocketAddr, configured: &[AllowedHost]) -> Self {
        let listen = (!listen.ip().is_unspecified()).then(|| match listen.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        });
        let configured = configured.iter().map(|AllowedHost(host)| host.clone());
        Self(configured.chain(listen).collect())
    }

    /// Whether `authority`, a host with or without a port, is one of ours.
    fn allows(&self, authority: &str) -> bool {
        let Ok(authority) = authority.parse::<Authority>() else {
            return false;
        };
        let host = authority.host().to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback =
            host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        !authority.as_str().contains('@') && (is_loopback || self.0.contains(&host))
    }

    fn allows_origin(&self, origin: &str) -> bool {
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        authority.is_some_and(|authority| self.allows(authority))
    }
}

/// Refuses what is not meant for us or comes from a foreign page.
pub(crate) async fn check(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    match refusal(&state.allowed_hosts, &request) {
        Some(error) => error.into_response(),
        None => next.run(request).await,
    }
}

fn refusal(hosts: &AllowedHosts, request: &Request) -> Option<ApiError> {
    let host = match only(request.headers(), HOST) {
        Ok(host) => host.or(request.uri().authority().map(Authority::as_str)),
        Err(()) => None,
    };
    // With a whole URL in the request line, that is the one that counts, and it must be ours as well.
    let in_line = request.uri().authority().map(Authority::as_str);
    if ![host, in_line.or(host)]
        .into_iter()
        .all(|host| host.is_some_and(|host| hosts.allows(host)))
    {
        let detail = "Host: this API answers only to localhost, its own address and the names given with --allowed-host";
        return Some(ApiError::Refused(
            StatusCode::MISDIRECTED_REQUEST,
            detail.to_owned(),
        ));
    }
    match only(request.headers(), ORIGIN) {
        Ok(None) => None,
        Ok(Some(origin)) if hosts.allows_origin(origin) => None,
        _ => {
            let detail = "Origin: pages of other sites may not use this API";
            Some(ApiError::Refused(StatusCode::FORBIDDEN, detail.to_owned()))
        }
    }
}

/// The header's value if it is there; an error if it is there twice or is no text.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> AllowedHosts {
        let configured = ["tasks.example.com".parse().unwrap()];
        AllowedHosts::new("192.0.2.7:8081".parse().unwrap(), &configured)
    }

    #[test]
    fn our_hosts_by_any_port() {
        for ours in [
            "localhost",
            "LOCALHOST:8081",
            "127.0.0.1:1",
            "127.1.2.3",
            "[::1]:8081",
            "192.0.2.7",
            "Tasks.Example.com:443",
        ] {
            assert!(hosts().allows(ours), "{ours}");
        }
        for foreign in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "xtasks.example.com",
            "tasks.example.com.",
            "192.0.2.8",
            "0.0.0.0",
            "localhost@evil.example",
            "evil.example@localhost",
            "localhost:80:80",
            "localhost/x",
            "::1",
        ] {
            assert!(!hosts().allows(foreign), "{foreign}");
        }
    }

    #[test]
    fn an_unspecified_address_is_no_name() {
        let hosts = AllowedHosts::new("0.0.0.0:8081".parse().unwrap(), &[]);
        assert!(!hosts.allows("0.0.0.0:8081"));
    }

    #[test]
    fn our_origins() {
        for ours in ["http://localhost:5173", "https://tasks.example.com"] {
            assert!(hosts().allows_origin(ours), "{ours}");
        }
        for foreign in [
            "null",
            "",
            "http://",
            "https://evil.example",
            "file://localhost",
            "localhost",
            "http://localhost.evil.example",
            "http://localhost http://evil.example",
        ] {
            assert!(!hosts().allows_origin(foreign), "{foreign}");
        }
    }
}
