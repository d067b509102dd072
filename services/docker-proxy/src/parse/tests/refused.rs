//! What is refused.

use axum::http;

use super::{ID, allowed, head, parse_line, project, stack};
use crate::parse::{HOST, ORIGIN, UPGRADE, parse};

const REFUSED: [&str; 110] = [
    // Into a container, or out of one.
    "POST /containers/{id}/exec",
    "POST /exec/{id}/start",
    "GET /exec/{id}/json",
    "POST /containers/{id}/attach?stream=1",
    "GET /containers/{id}/attach/ws",
    "GET /containers/{id}/archive?path=/etc",
    "HEAD /containers/{id}/archive?path=/etc",
    "PUT /containers/{id}/archive?path=/",
    "POST /containers/{id}/copy",
    "GET /containers/{id}/export",
    "GET /containers/{id}/logs?stdout=1",
    "GET /containers/{id}/top",
    "GET /containers/{id}/stats",
    "GET /containers/{id}/changes",
    // Other ways to change one.
    "POST /containers/{id}/restart",
    "POST /containers/{id}/pause",
    "POST /containers/{id}/unpause",
    "POST /containers/{id}/rename?name=tm_worker_9",
    "POST /containers/{id}/update",
    "POST /containers/{id}/resize?h=1&w=1",
    "POST /containers/{id}/checkpoints",
    "POST /containers/prune",
    "POST /commit?container={id}",
    // What is not a worker.
    "GET /images/json",
    "GET /images/taskmaster/json",
    "POST /images/create?fromImage=x",
    "POST /images/load",
    "DELETE /images/taskmaster",
    "POST /build",
    "POST /build/prune",
    "POST /session",
    "POST /grpc",
    "POST /auth",
    "GET /networks",
    "GET /networks/tm_workers",
    "POST /networks/create",
    "POST /networks/tm_workers/disconnect",
    "DELETE /networks/tm_workers",
    "GET /volumes",
    "POST /volumes/create",
    "DELETE /volumes/tm_postgres-data",
    "GET /secrets",
    "POST /secrets/create",
    "GET /configs",
    "GET /plugins",
    "POST /plugins/pull?remote=x",
    "GET /info",
    "GET /version",
    "GET /events",
    "GET /healthz",
    "GET /system/df",
    "GET /distribution/x/json",
    "GET /swarm",
    "GET /swarm/unlockkey",
    "POST /swarm/init",
    "POST /swarm/leave?force=1",
    "POST /nodes/{id}/update?version=1",
    "DELETE /nodes/{id}",
    "POST /services/create",
    "DELETE /services/{id}",
    "GET /services/{id}/logs",
    "GET /tasks/{id}",
    "GET /debug/pprof",
    "GET /metrics",
    // Parameters.
    "DELETE /containers/{id}?v=1&force=1",
    "DELETE /containers/{id}?v=1&force=true",
    "DELETE /containers/{id}?v=1&force=yes",
    "DELETE /containers/{id}?v=1&link=1",
    "DELETE /containers/{id}",
    "POST /containers/{id}/kill",
    "POST /containers/{id}/kill?signal=",
    "POST /containers/{id}/kill?signal=KILL",
    "POST /containers/{id}/kill?signal=9",
    "POST /containers/{id}/kill?signal=SIGTERM&signal=SIGKILL",
    "POST /containers/{id}/stop?t=-1",
    "POST /containers/{id}/stop?t=86401",
    "POST /containers/{id}/stop?t=+5",
    "POST /containers/{id}/stop?t=",
    "POST /containers/{id}/stop?t=5&signal=SIGKILL",
    "POST /containers/{id}/stop?t=5&%74=6",
    "POST /containers/{id}/wait?condition=removed",
    "POST /containers/{id}/start?checkpoint=x",
    "GET /containers/{id}/json?size=1",
    "GET /containers/json?size=1",
    "GET /containers/json?all=2",
    "GET /containers/json?all=1&all=0",
    "GET /containers/json?limit=7",
    "GET /containers/json?before=x",
    "GET /_ping?x=1",
    // Filters.
    "GET /containers/json?filters=x",
    r#"GET /containers/json?filters=["label"]"#,
    r#"GET /containers/json?filters={"label":"x"}"#,
    r#"GET /containers/json?filters={"label":{"x":false}}"#,
    r#"GET /containers/json?filters={"label":["com.docker.compose.project=other"]}"#,
    r#"GET /containers/json?filters={"label!":["com.docker.compose.service=worker"]}"#,
    r#"GET /containers/json?filters={"name":["tm"]}"#,
    r#"GET /containers/json?filters={"ancestor":["postgres"]}"#,
    r#"GET /containers/json?filters={"status":["exited"]}"#,
    r#"GET /containers/json?filters={"status":[]}"#,
    r#"GET /containers/json?filters={"health":["none"]}"#,
    r#"GET /containers/json?filters={"id":["0a"]}"#,
    // Creating.
    "POST /containers/create",
    "POST /containers/create?name=",
    "POST /containers/create?name=evil",
    "POST /containers/create?name=tm_postgres_2",
    "POST /containers/create?name=tm_worker_0",
    "POST /containers/create?name=tm_worker_2&platform=linux/arm64",
    "POST /containers/create?name=tm_worker_2&name=tm_worker_3",
    "POST /networks/tm_workers/connect",
    "PUT /containers/create?name=tm_worker_2",
];

const REFUSED_PATHS: [&str; 41] = [
    "GET /",
    "GET /v1.41",
    "GET /v1.41/",
    "GET /v1.23/_ping",
    "GET /v1.100/_ping",
    "GET /v1.4/_ping",
    "GET /v1./_ping",
    "GET /v2.41/_ping",
    "GET /v1.41/v1.41/_ping",
    "GET /V1.41/_ping",
    "GET //_ping",
    "GET /_ping/",
    "GET /./_ping",
    "GET /containers//json",
    "GET /containers/../json",
    "GET /containers/../images/json",
    "GET /containers/.hidden/json",
    "GET /containers/-x/json",
    "GET /containers/x/../../images/json",
    "GET /containers/%2e%2e/json",
    "GET /containers/x%2fjson",
    "GET /containers/x%2F..%2F..%2Fimages/json",
    "GET /containers/x%00/json",
    "GET /containers/x;y/json",
    "GET /containers/x:y/json",
    "GET /containers/x,y/json",
    "GET /containers/{id}/json/",
    "GET /containers/{id}/json/x",
    "GET /Containers/json",
    "GET /containers/json/x/y",
    "POST /containers/{id}/start/",
    "DELETE /containers/{id}/?v=1",
    "DELETE /containers?v=1",
    "POST /containers/json",
    "HEAD /version",
    "HEAD /containers/json",
    "POST /_ping",
    "PATCH /containers/{id}",
    "OPTIONS /_ping",
    "TRACE /_ping",
    "get /_ping",
];

#[test]
fn everything_else_is_refused() {
    for line in REFUSED.iter().chain(&REFUSED_PATHS) {
        for ours in [project(), stack()] {
            for has_body in [false, true] {
                let answer = parse_line(line, has_body, &ours);
                assert!(answer.is_err(), "{line}: {answer:?}");
            }
        }
        let version = line.replacen(" /", " /v1.41/", 1);
        assert!(
            parse_line(&version, false, &project()).is_err(),
            "{version}"
        );
    }
    for line in [
        "POST /services/{id}/update",
        "POST /services/{id}/update?version=-1",
        "POST /services/{id}/update?version=18446744073709551616",
        "POST /services/{id}/update?version=1&rollback=previous",
        "POST /services/{id}/update?version=1&registryAuthFrom=previous-spec",
        "GET /services/{id}",
        "GET /services/{id}?insertDefaults=false",
        "GET /services?status=true",
        r#"GET /services?filters={"name":["tm_postgres"]}"#,
        r#"GET /services?filters={"mode":["global"]}"#,
        r#"GET /tasks?filters={"service":["other_worker"]}"#,
        r#"GET /tasks?filters={"node":["self"]}"#,
        r#"GET /tasks?filters={"desired-state":["running"]}"#,
        r#"GET /nodes?filters={"role":["manager"]}"#,
    ] {
        assert!(parse_line(line, true, &stack()).is_err(), "{line}");
        assert!(parse_line(line, false, &stack()).is_err(), "{line}");
    }
}

#[test]
fn only_who_calls_it_by_its_own_name_is_answered() {
    let called = |hosts: &[&'static str]| {
        let mut head = head("GET", "/_ping").unwrap();
        head.headers.remove(HOST);
        for host in hosts {
            head.headers
                .append(HOST, http::HeaderValue::from_static(host));
        }
        parse(&head, false, &project())
    };
    for host in [
        "docker-proxy",
        "docker-proxy:2375",
        "tm_docker-proxy_1",
        "localhost:2375",
        "127.0.0.1:2375",
        "10.0.0.7",
        "[::1]:2375",
    ] {
        assert!(called(&[host]).is_ok(), "{host}");
    }
    for hosts in [
        &[][..],
        &["docker-proxy", "docker-proxy"],
        &["docker-proxy", "evil.example"],
        &[""],
        &[":2375"],
        &["evil.example"],
        &["evil.example:2375"],
        &["docker-proxy.evil.example:2375"],
        &["127.0.0.1.evil.example"],
        &["localhost."],
        &["evil.example@docker-proxy"],
        &["docker-proxy, evil.example"],
        &["[::1].evil.example"],
        &["http://docker-proxy"],
        &["docker-proxy/"],
    ] {
        assert!(called(hosts).is_err(), "{hosts:?}");
    }
}

#[test]
fn nothing_is_smuggled_in() {
    for (line, call) in allowed() {
        assert!(
            parse_line(line, true, &project()).is_err(),
            "{line} with a body: {call:?}"
        );
        let line = line.replace("{id}", ID);
        let (method, target) = line.split_once(' ').unwrap();
        // Those with filters are not encoded here.
        let target = target.split("filters=").next().unwrap();
        for (name, value) in [(UPGRADE, "tcp"), (ORIGIN, "http://127.0.0.1:2375")] {
            let mut with_header = head(method, target).unwrap();
            assert!(parse(&with_header, false, &project()).is_ok(), "{line}");
            let value = http::HeaderValue::from_static(value);
            with_header.headers.insert(&name, value);
            assert!(
                parse(&with_header, false, &project()).is_err(),
                "{line} with {name}"
            );
        }
        let absolute = head(method, &format!("http://elsewhere{target}")).unwrap();
        assert!(
            parse(&absolute, false, &project()).is_err(),
            "{line} as a forward proxy"
        );
    }
    let connect = head("CONNECT", "elsewhere:80").unwrap();
    assert!(parse(&connect, false, &project()).is_err());
    let longest = format!("GET /containers/{}/json", "a".repeat(256));
    assert!(parse_line(&longest, false, &project()).is_err());
}
