//! Each rule, by what breaks it.

use super::*;

/// The least that breaks nothing.
fn sound() -> Vec<Value> {
    let deployment = |component: &str, environment: Value| {
        let labels = json!({"component": component});
        let pod = json!({
            "automountServiceAccountToken": false,
            "serviceAccountName": "x",
            "terminationGracePeriodSeconds": 50,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "args": [component],
                "env": environment,
                "livenessProbe": {},
                "resources": {"limits": {"memory": "1Gi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "tmp"}],
            }],
            "volumes": [{"name": "tmp"}],
        });
        json!({
            "kind": "Deployment",
            "metadata": {"name": format!("x-{component}"), "annotations": {}},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels, "annotations": {"checksum/addresses": "1"}},
                    "spec": pod,
                },
            },
        })
    };
    let worker = json!([
        {"name": "TASKMASTER_DRAIN_GRACE", "value": "30"},
        {"name": "TASKMASTER_KILL_GRACE", "value": "5"},
        {"name": "TASKMASTER_SLOTS", "value": "4"},
        {"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "x", "key": "url"}}},
    ]);
    let api = json!([{"name": "TASKMASTER_ALLOWED_HOSTS", "value": "x-api,tasks.example"}]);
    vec![
        deployment("worker", worker),
        deployment("api", api),
        json!({
            "kind": "Secret",
            "metadata": {"name": "x", "annotations": {}},
            "stringData": {"url": PASSWORD},
        }),
        json!({
            "kind": "Service",
            "metadata": {"name": "x-api"},
            "spec": {"selector": {"component": "api"}},
        }),
        json!({
            "kind": "Ingress",
            "metadata": {"name": "x-api"},
            "spec": {"rules": [{"host": "tasks.example"}]},
        }),
    ]
}

/// The same, scaled by KEDA.
fn scaled() -> Vec<Value> {
    let mut documents = sound();
    documents[0]["spec"]["replicas"] = json!(null);
    let trigger = json!({
        "metadata": {"query": "select count(*) from tasks", "targetQueryValue": "4"},
        "authenticationRef": {"name": "x-keda"},
    });
    documents.extend([
        json!({
            "kind": "ScaledObject",
            "metadata": {"name": "x-worker"},
            "spec": {"scaleTargetRef": {"name": "x-worker"}, "triggers": [trigger]},
        }),
        json!({"kind": "TriggerAuthentication", "metadata": {"name": "x-keda"}}),
    ]);
    documents
}

/// With `value` at `place` in the documents, one of the rules that are broken is `expected`.
fn assert_breaks(mut documents: Value, place: &str, value: Value, expected: &str) {
    *documents.pointer_mut(place).unwrap() = value;
    let found = broken(documents.as_array().unwrap());
    assert!(
        found.iter().any(|broken| broken.contains(expected)),
        "{place}: {found:?}"
    );
}

#[test]
fn finds_each_broken_rule() {
    assert_eq!(broken(&sound()), [""; 0]);
    let pod = "/0/spec/template/spec";
    let container = "/0/spec/template/spec/containers/0";
    let hook = json!({"helm.sh/hook": "pre-upgrade"});
    for (place, value, expected) in [
        (
            format!("{pod}/automountServiceAccountToken"),
            json!(true),
            "pod is not hardened",
        ),
        (
            format!("{pod}/securityContext"),
            json!({}),
            "pod is not hardened",
        ),
        (
            format!("{pod}/terminationGracePeriodSeconds"),
            json!(49),
            "needs 35 s",
        ),
        (
            format!("{container}/env/0/value"),
            json!("2.097152e+06"),
            "not written out",
        ),
        (
            "/0/spec/template/metadata/annotations".to_owned(),
            json!({}),
            "does not reach it",
        ),
        (
            format!("{container}/securityContext"),
            json!({}),
            "container is not hardened",
        ),
        (
            format!("{container}/livenessProbe"),
            json!(null),
            "whether it lives",
        ),
        (
            format!("{container}/resources"),
            json!({}),
            "no limit of memory",
        ),
        (format!("{container}/args"), json!([PASSWORD]), "a password"),
        (
            "/2/stringData".to_owned(),
            json!({}),
            "a key that the Secret does not have",
        ),
        (
            "/2/metadata/annotations".to_owned(),
            hook.clone(),
            "a Secret that is there at another time",
        ),
        (
            "/0/metadata/annotations".to_owned(),
            hook,
            "a ServiceAccount that is not there yet",
        ),
        (
            format!("{pod}/volumes"),
            json!([]),
            "a mount without its volume",
        ),
        (
            "/0/spec/replicas".to_owned(),
            json!(null),
            "how many workers",
        ),
        (
            "/0/spec/selector/matchLabels".to_owned(),
            json!({"component": "api"}),
            "of another",
        ),
        (
            "/0/spec/selector/matchLabels".to_owned(),
            json!({}),
            "exactly one",
        ),
        (
            "/3/spec/selector".to_owned(),
            json!(null),
            "it selects everything",
        ),
        (
            "/1/spec/template/spec/containers/0/env/0/value".to_owned(),
            json!("tasks.example"),
            "the API does not answer to x-api",
        ),
        (
            "/4/spec/rules/0/host".to_owned(),
            json!("other.example"),
            "the API does not answer to other.example",
        ),
        (
            "/1".to_owned(),
            json!({"kind": "Service", "metadata": {"name": "x-api"}}),
            "missing",
        ),
    ] {
        assert_breaks(sound().into(), &place, value, expected);
    }
}

#[test]
fn finds_a_scaling_that_is_not_of_the_workers() {
    assert_eq!(broken(&scaled()), [""; 0]);
    let replicas = "/0/spec/replicas";
    assert_breaks(scaled().into(), replicas, json!(1), "each upgrade would");
    for (place, value) in [
        ("scaleTargetRef/name", json!("x-api")),
        ("triggers/0/metadata/targetQueryValue", json!("5")),
        ("triggers/0/metadata/query", json!("select 1")),
        ("triggers/0/authenticationRef/name", json!("x-other")),
        ("triggers/0/authenticationRef", json!(null)),
    ] {
        let place = format!("/5/spec/{place}");
        assert_breaks(scaled().into(), &place, value, "not about the workers");
    }
}
