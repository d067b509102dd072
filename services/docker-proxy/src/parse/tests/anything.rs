//! Whatever is asked: no panic, and nothing passes that is not in the list.

use std::cell::Cell;

use axum::http::request::Parts;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{ID, head, labels, project, stack};
use crate::filters::Filters;
use crate::parse::parse;

/// What may pass, told apart from the parser: method and path with `*` for an id, and the parameters.
const SHAPES: [(&str, &[&str]); 14] = [
    ("GET _ping", &[]),
    ("HEAD _ping", &[]),
    ("GET containers/json", &["all", "size", "filters"]),
    ("POST containers/create", &["name", "platform"]),
    ("GET containers/*/json", &["size"]),
    ("POST containers/*/start", &[]),
    ("POST containers/*/stop", &["t"]),
    ("POST containers/*/kill", &["signal"]),
    ("POST containers/*/wait", &["condition"]),
    ("DELETE containers/*", &["v", "force", "link"]),
    ("GET services", &["filters"]),
    ("POST services/*/update", &["version", "registryAuthFrom"]),
    ("GET tasks", &["filters"]),
    ("GET nodes", &[]),
];

fn has_shape(head: &Parts, shape: &str, parameters: &[&str]) -> bool {
    let (method, path) = shape.split_once(' ').unwrap();
    let mut segments: Vec<&str> = head.uri.path().split('/').skip(1).collect();
    if segments[0].starts_with("v1.") {
        segments.remove(0);
    }
    let shape: Vec<&str> = path.split('/').collect();
    let fits = |(segment, shape): (&&str, &&str)| match *shape {
        "*" => segment.starts_with(|start: char| start.is_ascii_alphanumeric()),
        literal => *segment == literal,
    };
    let query = head.uri.query().unwrap_or_default();
    head.method == method
        && segments.len() == shape.len()
        && segments.iter().zip(&shape).all(fits)
        && form_urlencoded::parse(query.as_bytes()).all(|(name, _)| parameters.contains(&&*name))
}

/// What is nearly right: an allowed form, perhaps with another method, another segment or one more, and any parameters.
fn requests() -> impl Strategy<Value = (String, String)> {
    let words = [
        "v1.41",
        "containers",
        "json",
        "create",
        "start",
        "kill",
        "_ping",
        "events",
        "services",
        "update",
        "images",
        "exec",
        "archive",
        "tm_worker_1",
        "..",
        "",
        "%2e",
        ID,
    ];
    let parameters = [
        "all=1",
        "limit=3",
        "size=0",
        "size=1",
        "force=0",
        "force=1",
        "v=1",
        "t=5",
        "signal=SIGTERM",
        "signal=KILL",
        "condition=not-running",
        "name=tm_worker_7",
        "name=evil",
        "version=3",
        "since=1",
        "status=1",
        "filters=%7B%7D",
        "filters=%7B%22name%22%3A%5B%22x%22%5D%7D",
        "x",
    ];
    let word = prop_oneof![
        4 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "[!-~]{0,12}",
    ];
    let parameter = prop_oneof![
        9 => prop::sample::select(parameters.to_vec()).prop_map(str::to_owned),
        1 => "[!-~]{0,12}",
    ];
    let methods = vec!["GET", "HEAD", "POST", "DELETE", "PUT", "TRACE"];
    (
        prop::sample::select(SHAPES.to_vec()),
        prop::option::weighted(0.2, prop::sample::select(methods)),
        prop::option::weighted(0.4, (any::<prop::sample::Index>(), any::<bool>(), word)),
        prop::collection::vec(parameter, 0..3),
    )
        .prop_map(|((shape, _), method, change, parameters)| {
            let (own_method, path) = shape.split_once(' ').unwrap();
            let path = path.replace('*', ID);
            let mut path: Vec<&str> = path.split('/').collect();
            if let Some((place, more, word)) = &change {
                let place = place.index(path.len());
                if *more {
                    path.insert(place, word);
                } else {
                    path[place] = word;
                }
            }
            let question = if parameters.is_empty() { "" } else { "?" };
            let target = format!("/{}{question}{}", path.join("/"), parameters.join("&"));
            (method.unwrap_or(own_method).to_owned(), target)
        })
}

#[test]
fn nothing_unknown_passes() {
    let passed = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig::with_cases(20_000));
    let any = (requests(), any::<bool>(), any::<bool>());
    let run = runner.run(&any, |((method, target), has_body, swarm)| {
        let Some(head) = head(&method, &target) else {
            return Ok(());
        };
        let ours = if swarm { stack() } else { project() };
        if let Ok(request) = parse(&head, has_body, &ours) {
            passed.set(passed.get() + 1);
            let mut shapes = SHAPES.iter();
            let known = shapes.any(|(shape, parameters)| has_shape(&head, shape, parameters));
            prop_assert!(known, "{method} {target}: {request:?}");
            // Without what comes after a `#`, which no request has.
            let target = head.uri.to_string();
            let evil = ["force=1", "signal=KILL", "size=1", "evil"];
            prop_assert!(!evil.iter().any(|evil| target.contains(evil)), "{target}");
        }
        Ok(())
    });
    run.unwrap();
    assert!(
        passed.get() > 500,
        "only {} were requests that pass",
        passed.get()
    );
}

proptest! {
    #[test]
    fn filters_of_anybody_change_nothing(
        text in "\\PC*",
        name in prop_oneof![Just("label".to_owned()), Just("status".to_owned()), "[a-z]{1,8}"],
        value in "\\PC{0,20}",
    ) {
        let asked = [text, serde_json::json!({ name: [value] }).to_string()];
        for filters in asked.iter().filter_map(|text| Filters::read(text).ok()) {
            if let Ok(filters) = labels().including(&filters) {
                prop_assert_eq!(filters, labels());
            }
        }
    }
}
