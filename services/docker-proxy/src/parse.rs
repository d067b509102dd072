//! From a request's method, path, query and headers to a [`Call`]. Pure. What is not in the list here is refused.

#[cfg(test)]
mod tests;

use axum::http::header::{ORIGIN, UPGRADE};
use axum::http::request::Parts;

use crate::call::{Call, ContainerAction, Id, Request};
use crate::filters::Fits;
use crate::ours::Ours;
use crate::query::Query;
use crate::refusal::Refusal;

/// The oldest and the newest version that may be in a path: 1.24 is the oldest that any engine of today speaks.
const VERSIONS: std::ops::RangeInclusive<u8> = 24..=99;
/// The longest time that a container may be given to stop, in seconds: a day.
const LONGEST_STOP: u32 = 86_400;
/// The most containers that a list may be limited to.
const LONGEST_LIST: u32 = 10_000;

const STATUSES: [&str; 7] = [
    "created",
    "restarting",
    "running",
    "removing",
    "paused",
    "exited",
    "dead",
];
const HEALTHS: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];
const EVENTS: [&str; 13] = [
    "create",
    "start",
    "restart",
    "pause",
    "unpause",
    "update",
    "rename",
    "kill",
    "oom",
    "stop",
    "die",
    "destroy",
    "health_status",
];
const DESIRED_STATES: [&str; 3] = ["running", "shutdown", "accepted"];

/// What may narrow a list of containers.
const OF_CONTAINERS: [(&str, Fits); 3] = [
    ("status", |value| STATUSES.contains(&value)),
    ("health", |value| HEALTHS.contains(&value)),
    ("id", |value| Id::read(value).is_some()),
];
/// What may narrow events.
const OF_EVENTS: [(&str, Fits); 1] = [("event", |value| EVENTS.contains(&value))];
/// What may narrow a list of tasks.
const OF_TASKS: [(&str, Fits); 1] = [("desired-state", |value| DESIRED_STATES.contains(&value))];

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
    let (version, segments) = path(head.uri.path())?;
    let mut query = Query::read(head.uri.query())?;
    let call = call(head.method.as_str(), &segments, &mut query, ours)?;
    query.end()?;
    if has_body && !call.has_body() {
        return Err(Refusal::new("a body where none belongs"));
    }
    Ok(Request { version, call })
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
        ("GET", ["version"]) => Ok(Call::Version),
        ("GET", ["events"]) => {
            let filters = ours.event_filters()?;
            Ok(Call::Events {
                since: moment(query, "since")?,
                until: moment(query, "until")?,
                filters: filters.narrowed(query.filters()?, &OF_EVENTS)?,
            })
        }
        ("GET", ["containers", "json"]) => {
            query.off("size")?;
            let filters = ours.container_filters()?;
            Ok(Call::ListContainers {
                all: query.switch("all")?,
                limit: query.number("limit", 1..=LONGEST_LIST)?,
                filters: filters.narrowed(query.filters()?, &OF_CONTAINERS)?,
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
            Ok(Call::ListServices {
                status: query.switch("status")?,
                filters: filters.narrowed(query.filters()?, &[])?,
            })
        }
        ("GET", ["services", service]) => {
            ours.stack()?;
            query.off("insertDefaults")?;
            Ok(Call::InspectService { id: id(service)? })
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
            let filters = filters.narrowed(query.filters()?, &OF_TASKS)?;
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

/// Unix seconds, perhaps with a fraction.
fn moment(query: &mut Query, name: &'static str) -> Result<Option<String>, Refusal> {
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let Some(text) = query.take(name) else {
        return Ok(None);
    };
    let (seconds, fraction) = text.split_once('.').unwrap_or((&text, "0"));
    if digits(seconds, 12) && digits(fraction, 9) {
        Ok(Some(text))
    } else {
        Err(Refusal::new(format!("{name} must be Unix seconds")))
    }
}

fn not_in_the_list() -> Refusal {
    Refusal::new("not among the few requests that the fleet needs of the engine")
}
