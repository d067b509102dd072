//! What is understood; in `refused` what is not, in `anything` that nothing else can be.

use axum::http::{self, Uri};

use super::*;
use crate::filters::Filters;
use crate::ours::NewWorker;

mod anything;
mod refused;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn project() -> Ours {
    Ours::project("tm", "worker")
}

fn stack() -> Ours {
    Ours::Stack {
        name: "tm".to_owned(),
        service: "tm_worker".to_owned(),
    }
}

fn head(method: &str, target: &str) -> Option<Parts> {
    let uri: Uri = target.parse().ok()?;
    let request = http::Request::builder().method(method).uri(uri);
    let request = request.header(HOST, "docker-proxy:2375").body(());
    Some(request.ok()?.into_parts().0)
}

/// `line`: method and target. `{id}` is an id, and what follows `filters=` is encoded.
fn parse_line(line: &str, has_body: bool, ours: &Ours) -> Result<Request, Refusal> {
    let line = line.replace("{id}", ID);
    let (method, target) = line.split_once(' ').unwrap();
    let target = match target.split_once("filters=") {
        Some((start, filters)) => {
            let encoded: String = form_urlencoded::byte_serialize(filters.as_bytes()).collect();
            format!("{start}filters={encoded}")
        }
        None => target.to_owned(),
    };
    parse(&head(method, &target).unwrap(), has_body, ours)
}

fn labels() -> Filters {
    project().container_filters().unwrap()
}

fn container(action: ContainerAction) -> Call {
    Call::Container {
        id: Id::read(ID).unwrap(),
        action,
    }
}

/// Each allowed form, as bollard and Docker's own client write it.
fn allowed() -> Vec<(&'static str, Call)> {
    let list = |all| Call::ListContainers {
        all,
        filters: labels(),
    };
    let stop = |seconds| container(ContainerAction::Stop { seconds });
    vec![
        ("GET /_ping", Call::Ping { head: false }),
        ("HEAD /_ping", Call::Ping { head: true }),
        ("GET /containers/json", list(false)),
        ("GET /containers/json?all=true&size=false", list(true)),
        (
            r#"GET /containers/json?all=1&filters={"label":["com.docker.compose.service=worker"]}"#,
            list(true),
        ),
        (
            r#"GET /containers/json?filters={"label":{"com.docker.compose.project":true}}"#,
            list(false),
        ),
        (r#"GET /containers/json?filters={"label":[]}"#, list(false)),
        (
            "GET /containers/{id}/json",
            container(ContainerAction::Inspect),
        ),
        (
            "GET /containers/{id}/json?size=false",
            container(ContainerAction::Inspect),
        ),
        (
            "GET /containers/tm_worker_1/json",
            Call::Container {
                id: Id::read("tm_worker_1").unwrap(),
                action: ContainerAction::Inspect,
            },
        ),
        (
            "POST /containers/{id}/start",
            container(ContainerAction::Start),
        ),
        ("POST /containers/{id}/stop", stop(None)),
        ("POST /containers/{id}/stop?t=0", stop(Some(0))),
        ("POST /containers/{id}/stop?t=86400", stop(Some(86_400))),
        (
            "POST /containers/{id}/kill?signal=SIGTERM",
            container(ContainerAction::Terminate),
        ),
        (
            "POST /containers/{id}/wait",
            container(ContainerAction::Wait),
        ),
        (
            "POST /containers/{id}/wait?condition=not-running",
            container(ContainerAction::Wait),
        ),
        (
            "DELETE /containers/{id}?v=1",
            container(ContainerAction::Remove),
        ),
        (
            "DELETE /containers/{id}?v=true&force=false&link=false",
            container(ContainerAction::Remove),
        ),
        // Something may be called so, and is ours or not.
        (
            "DELETE /containers/json?v=1",
            Call::Container {
                id: Id::read("json").unwrap(),
                action: ContainerAction::Remove,
            },
        ),
    ]
}

#[test]
fn what_the_fleet_needs_is_understood() {
    for (line, call) in allowed() {
        for version in [None, Some(24), Some(41), Some(99)] {
            let line = match version {
                Some(minor) => line.replacen(" /", &format!(" /v1.{minor}/"), 1),
                None => line.to_owned(),
            };
            let call = call.clone();
            let expected = Ok(Request { version, call });
            assert_eq!(parse_line(&line, false, &project()), expected, "{line}");
        }
    }
}

#[test]
fn a_creation_is_understood_as_a_name_and_a_number() {
    for line in [
        "POST /containers/create?name=tm_worker_4",
        "POST /v1.41/containers/create?name=tm_worker_4&platform=",
    ] {
        let worker = NewWorker {
            name: "tm_worker_4".to_owned(),
            number: 4,
        };
        let ours = labels();
        let call = parse_line(line, true, &project()).unwrap().call;
        assert_eq!(call, Call::CreateContainer { worker, ours });
    }
}

#[test]
fn what_a_swarm_needs_is_understood() {
    let id = || Id::read("25ksh1jejmb9dzb3gvafhdqwr").unwrap();
    let services = || stack().service_filters().unwrap();
    let tasks = || stack().task_filters().unwrap();
    let list = || Call::ListServices {
        filters: services(),
    };
    for (line, call) in [
        ("GET /services", list()),
        (
            r#"GET /services?filters={"name":["tm_worker"],"label":["com.docker.stack.namespace=tm"]}"#,
            list(),
        ),
        (
            "POST /services/25ksh1jejmb9dzb3gvafhdqwr/update?version=18446744073709551615",
            Call::ScaleService {
                id: id(),
                version: u64::MAX,
            },
        ),
        ("GET /tasks", Call::ListTasks { filters: tasks() }),
        (
            r#"GET /tasks?filters={"service":["tm_worker"]}"#,
            Call::ListTasks { filters: tasks() },
        ),
        (
            r#"GET /services?filters={"label":["com.docker.stack.namespace"]}"#,
            list(),
        ),
        ("GET /nodes", Call::ListNodes),
    ] {
        for version in [None, Some(41)] {
            let prefix = version.map_or_else(String::new, |minor| format!("/v1.{minor}"));
            let line = line.replacen(" /", &format!(" {prefix}/"), 1);
            let expected = Request {
                version,
                call: call.clone(),
            };
            assert_eq!(
                parse_line(&line, call.has_body(), &stack()),
                Ok(expected),
                "{line}"
            );
            assert!(
                parse_line(&line, call.has_body(), &project()).is_err(),
                "{line}"
            );
        }
    }
    // And nothing that only a Compose project has.
    for line in [
        "GET /containers/json",
        "POST /containers/create?name=tm_worker_1",
        "GET /containers/{id}/json",
        "POST /containers/{id}/stop",
    ] {
        assert!(parse_line(line, false, &stack()).is_err(), "{line}");
    }
}
