//! What no schema says: what a rendered chart must have for a system that works, and for one that gives nothing away.

use serde_json::{Value, json};

/// In the addresses of the test's values.
const PASSWORD: &str = "s3cr3t-w0rd";
/// Seconds that a worker has beyond its graces, as deploy/README.md says.
const MARGIN: u64 = 15;

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
            let value = text(&variable["value"]);
            if value.contains("e+") && value.parse::<f64>().is_ok() {
                breaks("a number that is not written out");
            }
            let secret = &variable["valueFrom"]["secretKeyRef"];
            let Some(made) = own(text(&secret["name"])) else {
                continue;
            };
            if made["stringData"][text(&secret["key"])].is_null() {
                breaks("a key that the Secret does not have");
            }
            // It is read when the pod starts: a change of it has to be a change of the pod.
            let checksum = "/spec/template/metadata/annotations/checksum~1addresses";
            if document["kind"] == "Deployment" && document.pointer(checksum).is_none() {
                breaks("a change of its Secret does not reach it");
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
    if given.is_none_or(|given| given < needed + MARGIN) {
        broken.push(format!(
            "a worker needs {needed} s and {MARGIN} s more to end, and gets {given:?}"
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
            let auth = documents.iter().any(|document| {
                document["kind"] == "TriggerAuthentication"
                    && document["metadata"]["name"] == trigger["authenticationRef"]["name"]
            });
            if spec["scaleTargetRef"]["name"] != worker["metadata"]["name"]
                || trigger["metadata"]["targetQueryValue"] != slots
                || !query.starts_with("select count(*)")
                || !auth
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
mod tests;
