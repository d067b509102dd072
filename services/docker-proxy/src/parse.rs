//! From a request's method, path, query and headers to a [`Call`]. Pure. What is not in the list here is refused.

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HOST, ORIGIN, UPGRADE};
use axum::http::request::Parts;

use crate::call::{Call, ContainerAction, Id, Request};
use crate::ours::Ours;
use crate::query::Query;
use crate::refusal::Refusal;

/// The oldest and the newest version that may be in a path: 1.24 is the oldest that any engine of today speaks.
const VERSIONS: std::ops::RangeInclusive<u8> = 24..=99;
/// The longest time that a container may be given to stop, in seconds: a day.
const LONGEST_STOP: u32 = 86_400;
/// What is asked for, if it may be asked for.
///
/// # Errors
/// For everything that is not in the list, with the reason.
pub(crate) fn parse(head: &Parts, has_body: bool, ours: &Ours) -> Result<Request, Refusal> {
    if head.uri.scheme().is_some() || head.uri.authority().is_some() {
        return Err(Refusal::new(
            "this is the engine's API and forwards nothing",
        ));
    }
    // A hijacked connection could carry anything.
    if head.headers.contains_key(UPGRADE) {
        return Err(Refusal::new("a connection is never upgraded"));
    }
    if head.headers.contains_key(ORIGIN) {
        return Err(Refusal::new("a web page has no business here"));
    }
    if !is_near(head) {
        return Err(Refusal::new("it is not called by such a name"));
    }
    let (version, segments) = path(head.uri.path())?;
    let mut query = Query::read(head.uri.query())?;
    let call = call(head.method.as_str(), &segments, &mut query, ours)?;
    query.end()?;
    if has_body && !call.has_body() {
        return Err(Refusal::new("a body where none belongs"));
    }
    Ok(Request { version, call })
}

/// Whether it is called by an address, or by a name that only a network of containers or this machine knows. A web page
/// may have its own name lead here, and its requests need no `Origin` then; but that name has a dot.
fn is_near(head: &Parts) -> bool {
    let mut hosts = head.headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let literal = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    host.parse::<SocketAddr>().is_ok()
        || literal.unwrap_or(host).parse::<IpAddr>().is_ok()
        || !name.is_empty() && name.bytes().all(is_name) && port.parse::<u16>().is_ok()
}

/// The version, if there is one, and the path's segments after it.
fn path(path: &str) -> Result<(Option<u8>, Vec<&str>), Refusal> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte);
    let plain = path
        .strip_prefix('/')
        .filter(|path| path.bytes().all(known));
    let plain = plain.ok_or(Refusal::new("a path with characters that are not allowed"))?;
    let mut segments: Vec<&str> = plain.split('/').collect();
    let Some(minor) = segments[0].strip_prefix("v1.") else {
        return Ok((None, segments));
    };
    let minor: Option<u8> = minor.parse().ok().filter(|_| minor.len() == 2);
    let minor = minor.filter(|minor| VERSIONS.contains(minor));
    let minor = minor.ok_or(Refusal::new("a version of the API that there is not"))?;
    segments.remove(0);
    Ok((Some(minor), segments))
}

fn call(method: &str, path: &[&str], query: &mut Query, ours: &Ours) -> Result<Call, Refusal> {
    match (method, path) {
        ("GET", ["_ping"]) => Ok(Call::Ping { head: false }),
        ("HEAD", ["_ping"]) => Ok(Call::Ping { head: true }),
        ("GET", ["containers", "json"]) => {
            query.off("size")?;
            let filters = ours.container_filters()?;
            Ok(Call::ListContainers {
                all: query.switch("all")?,
                filters: filters.including(&query.filters()?)?,
            })
        }
        ("POST", ["containers", "create"]) => {
            query.only("platform", "")?;
            let name = query.take("name").unwrap_or_default();
            let worker = ours.new_worker(&name).ok_or(Refusal::new(
                "a name that Compose would not give to a worker of this project",
            ))?;
            let ours = ours.container_filters()?;
            Ok(Call::CreateContainer { worker, ours })
        }
        ("GET", ["services"]) => {
            let filters = ours.service_filters()?;
            let filters = filters.including(&query.filters()?)?;
            Ok(Call::ListServices { filters })
        }
        ("POST", ["services", service, "update"]) => {
            ours.stack()?;
            query.only("registryAuthFrom", "spec")?;
            let version = query.number("version", 0..=u64::MAX)?;
            Ok(Call::ScaleService {
                id: id(service)?,
                version: version.ok_or(Refusal::new("version is missing"))?,
            })
        }
        ("GET", ["tasks"]) => {
            let filters = ours.task_filters()?;
            let filters = filters.including(&query.filters()?)?;
            Ok(Call::ListTasks { filters })
        }
        ("GET", ["nodes"]) => ours.stack().map(|_| Call::ListNodes),
        (method, ["containers", container, rest @ ..]) => {
            ours.compose()?;
            let action = action(method, rest, query)?;
            Ok(Call::Container {
                id: id(container)?,
                action,
            })
        }
        _ => Err(not_in_the_list()),
    }
}

fn action(method: &str, rest: &[&str], query: &mut Query) -> Result<ContainerAction, Refusal> {
    match (method, rest) {
        ("GET", ["json"]) => {
            query.off("size")?;
            Ok(ContainerAction::Inspect)
        }
        ("POST", ["start"]) => Ok(ContainerAction::Start),
        ("POST", ["stop"]) => Ok(ContainerAction::Stop {
            seconds: query.number("t", 0..=LONGEST_STOP)?,
        }),
        // Without a signal it would be SIGKILL.
        ("POST", ["kill"]) => match query.only("signal", "SIGTERM")? {
            true => Ok(ContainerAction::Terminate),
            false => Err(Refusal::new("signal must be SIGTERM")),
        },
        ("POST", ["wait"]) => {
            query.only("condition", "not-running")?;
            Ok(ContainerAction::Wait)
        }
        ("DELETE", []) => {
            query.off("force")?;
            query.off("link")?;
            match query.switch("v")? {
                true => Ok(ContainerAction::Remove),
                false => Err(Refusal::new(
                    "v must be true: nobody would find its volumes",
                )),
            }
        }
        _ => Err(not_in_the_list()),
    }
}

fn id(text: &str) -> Result<Id, Refusal> {
    Id::read(text).ok_or(Refusal::new("neither an id nor a name"))
}

fn not_in_the_list() -> Refusal {
    Refusal::new("not among the few requests that the fleet needs of the engine")
}
