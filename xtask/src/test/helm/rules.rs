//! What no schema says: what a rendered chart must have for a system that works, and for one that gives nothing away.

use serde_json::{Value, json};

/// In the addresses of the test's values.
const PASSWORD: &str = "s3cr3t-w0rd";

/// The rules that these documents break, each with what breaks it.
pub(super) fn broken(documents: &[Value]) -> Vec<String> {
    let mut broken = Vec::new();
    for document in documents {
        let name = format!(
            "{} {}",
            text(&document["kind"]),
            text(&document["metadata"]["name"])
        );
        let mut breaks = |rule: &str| broken.push(format!("{name}: {rule}"));
        if document["kind"] != "Secret" && document.to_string().contains(PASSWORD) {
            breaks("a password outside a Secret");
        }
        if let Some(pod) = pod(document) {
            hardened(pod, &mut breaks);
            references(pod, document, documents, &mut breaks);
        }
        selects(document, documents, &mut breaks);
    }
    the_whole(documents, &mut broken);
    broken
}

/// The pod of a Deployment or a Job.
fn pod(document: &Value) -> Option<&Value> {
    document.pointer("/spec/template/spec")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn hardened(pod: &Value, breaks: &mut impl FnMut(&str)) {
    let security = &pod["securityContext"];
    let wanted = [
        (&pod["automountServiceAccountToken"], json!(false)),
        (&security["runAsNonRoot"], json!(true)),
        (&security["runAsUser"], json!(10001)),
        (&security["seccompProfile"]["type"], json!("RuntimeDefault")),
    ];
    if wanted.iter().any(|(found, wanted)| *found != wanted) {
        breaks("the pod is not hardened");
    }
    for container in pod["containers"].as_array().into_iter().flatten() {
        let security = &container["securityContext"];
        let wanted = [
            (&security["allowPrivilegeEscalation"], json!(false)),
            (&security["readOnlyRootFilesystem"], json!(true)),
            (&security["capabilities"]["drop"], json!(["ALL"])),
        ];
        if wanted.iter().any(|(found, wanted)| *found != wanted) {
            breaks("the container is not hardened");
        }
        if !container["resources"]["limits"]["memory"].is_string() {
            breaks("no limit of memory");
        }
        if container["livenessProbe"].is_null() && container["args"] != json!(["migrate"]) {
            breaks("nobody looks whether it lives");
        }
    }
}

/// What a pod names and the release makes must be there, and for a hook before the release is.
fn references(pod: &Value, document: &Value, documents: &[Value], breaks: &mut impl FnMut(&str)) {
    let is_hook =
        |document: &Value| document["metadata"]["annotations"]["helm.sh/hook"].is_string();
    let own = |name: &str| {
        let mut same = documents
            .iter()
            .filter(|other| other["kind"] == "Secret" && other["metadata"]["name"] == name);
        same.next()
    };
    for container in pod["containers"].as_array().into_iter().flatten() {
        for variable in container["env"].as_array().into_iter().flatten() {
            let secret = &variable["valueFrom"]["secretKeyRef"];
            let Some(made) = own(text(&secret["name"])) else {
                continue;
            };
            if made["stringData"][text(&secret["key"])].is_null() {
                breaks("a key that the Secret does not have");
            }
            if is_hook(document) != is_hook(made) {
                breaks("a Secret that is there at another time");
            }
        }
        let mounted = container["volumeMounts"].as_array().into_iter().flatten();
        let volumes: Vec<&Value> = pod["volumes"].as_array().into_iter().flatten().collect();
        for mount in mounted {
            if !volumes.iter().any(|volume| volume["name"] == mount["name"]) {
                breaks("a mount without its volume");
            }
        }
    }
    if is_hook(document) && !pod["serviceAccountName"].is_null() {
        breaks("a ServiceAccount that is not there yet");
    }
}

/// What selects pods selects those of one Deployment or Job.
fn selects(document: &Value, documents: &[Value], breaks: &mut impl FnMut(&str)) {
    let selector = match text(&document["kind"]) {
        "Deployment" | "PodDisruptionBudget" => &document["spec"]["selector"]["matchLabels"],
        "NetworkPolicy" => &document["spec"]["podSelector"]["matchLabels"],
        "Service" => &document["spec"]["selector"],
        _ => return,
    };
    let Some(selector) = selector.as_object() else {
        return breaks("it selects everything");
    };
    let selected = documents.iter().filter(|other| {
        let labels = other.pointer("/spec/template/metadata/labels");
        labels.is_some_and(|labels| selector.iter().all(|(key, value)| labels[key] == *value))
    });
    let selected: Vec<&Value> = selected.collect();
    let [only] = selected[..] else {
        // The policy of the migration is there before each upgrade, the Job only where it is switched on.
        if document["kind"] != "NetworkPolicy" || !selected.is_empty() {
            breaks("it does not select exactly one kind of pod");
        }
        return;
    };
    if document["kind"] == "Deployment" && only != document {
        breaks("it selects the pods of another");
    }
}

fn the_whole(documents: &[Value], broken: &mut Vec<String>) {
    let find = |kind: &str, end: &str| {
        documents.iter().find(|document| {
            document["kind"] == kind && text(&document["metadata"]["name"]).ends_with(end)
        })
    };
    let (Some(worker), Some(api)) = (find("Deployment", "-worker"), find("Deployment", "-api"))
    else {
        return broken.push("a Deployment is missing".to_owned());
    };
    let seconds = |name| {
        environment(worker, name)
            .parse::<u64>()
            .unwrap_or(u64::MAX / 4)
    };
    let needed = seconds("TASKMASTER_DRAIN_GRACE") + seconds("TASKMASTER_KILL_GRACE");
    let given = worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64();
    if given.is_none_or(|given| given <= needed) {
        broken.push(format!(
            "a worker needs {needed} s to end and gets {given:?}"
        ));
    }
    match find("ScaledObject", "") {
        None if worker["spec"]["replicas"].is_null() => {
            broken.push("nobody says how many workers".to_owned())
        }
        Some(_) if !worker["spec"]["replicas"].is_null() => {
            broken.push("each upgrade would undo what KEDA has scaled".to_owned());
        }
        Some(scaled) => {
            let spec = &scaled["spec"];
            let trigger = &spec["triggers"][0];
            let slots = environment(worker, "TASKMASTER_SLOTS");
            let query = text(&trigger["metadata"]["query"]);
            let auth = find(
                "TriggerAuthentication",
                text(&trigger["authenticationRef"]["name"]),
            );
            if spec["scaleTargetRef"]["name"] != worker["metadata"]["name"]
                || trigger["metadata"]["targetQueryValue"] != slots
                || !query.starts_with("select count(*)")
                || auth.is_none()
            {
                broken.push(format!("the ScaledObject is not about the workers: {spec}"));
            }
        }
        None => {}
    }
    let hosts = environment(api, "TASKMASTER_ALLOWED_HOSTS");
    let hosts: Vec<&str> = hosts.split(',').collect();
    let service = find("Service", "-api").map(|service| text(&service["metadata"]["name"]));
    let ingress = find("Ingress", "-api").map(|ingress| text(&ingress["spec"]["rules"][0]["host"]));
    for name in service.into_iter().chain(ingress) {
        if !hosts.contains(&name) {
            broken.push(format!("the API does not answer to {name}"));
        }
    }
}

/// A variable of the first container.
fn environment<'a>(document: &'a Value, name: &str) -> &'a str {
    let variables = document.pointer("/spec/template/spec/containers/0/env");
    let variables = variables.and_then(Value::as_array).into_iter().flatten();
    let mut of_name = variables.filter(|variable| variable["name"] == name);
    of_name
        .next()
        .map_or("", |variable| text(&variable["value"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that breaks nothing.
    fn sound() -> Vec<Value> {
        let deployment = |component: &str, environment: Value| {
            let labels = json!({"component": component});
            let pod = json!({
                "automountServiceAccountToken": false,
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
                }],
            });
            json!({
                "kind": "Deployment",
                "metadata": {"name": format!("x-{component}")},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": pod},
                },
            })
        };
        let times = json!([
            {"name": "TASKMASTER_DRAIN_GRACE", "value": "30"},
            {"name": "TASKMASTER_KILL_GRACE", "value": "5"},
        ]);
        vec![deployment("worker", times), deployment("api", json!([]))]
    }

    #[test]
    fn finds_each_broken_rule() {
        assert_eq!(broken(&sound()), [""; 0]);
        let pod = "/0/spec/template/spec";
        let container = "/0/spec/template/spec/containers/0";
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
                json!(35),
                "needs 35 s",
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
                "/1".to_owned(),
                json!({"kind": "Service", "metadata": {"name": "x-api"}}),
                "missing",
            ),
        ] {
            let mut documents = Value::from(sound());
            *documents.pointer_mut(&place).unwrap() = value;
            let documents = documents.as_array().unwrap();
            let found = broken(documents);
            assert!(
                found.iter().any(|broken| broken.contains(expected)),
                "{place}: {found:?}"
            );
        }
    }
}
