//! What another container like one that Compose made looks like. Pure.
//!
//! Compose finds its containers by labels and recreates those whose `config-hash` is not the one it computes. No hash is
//! computed here: a new container has its template's, with everything that the hash is of, so that it is exactly as old
//! or as new as the template itself. Works on JSON and knows of little in it: what it does not know is copied. (The proxy gives
//! it the engine's own; where there is none, bollard's model has dropped what bollard does not know.)

use serde_json::{Map, Value, json};

/// The label that holds the name of the Compose project.
pub const PROJECT: &str = "com.docker.compose.project";
/// The label that holds the name of the service.
pub const SERVICE: &str = "com.docker.compose.service";
/// `False` for a service's container, `True` for one of `docker compose run`.
pub const ONEOFF: &str = "com.docker.compose.oneoff";
/// The label that numbers a service's containers.
pub const NUMBER: &str = "com.docker.compose.container-number";
/// The label by which Compose tells whether a container is what its file says now.
pub const CONFIG_HASH: &str = "com.docker.compose.config-hash";

/// Compose's mark on a container that it made in place of another: which one that was.
const REPLACE: &str = "com.docker.compose.replace";

/// A container to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// Its name.
    pub name: String,
    /// The body of `POST /containers/create`. Holds secrets: the environment.
    pub body: Value,
    /// Further networks to connect it to before it starts, each with its `EndpointConfig`: engines before API 1.44 take
    /// one only when a container is created.
    pub connect: Vec<(String, Value)>,
}

/// Why a container cannot be copied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotATemplate {
    /// With `container_name`, Compose cannot scale it either.
    #[error("{0} has a name of its own (container_name), so there can be only one of it")]
    OwnName(String),
    /// With `hostname`, all workers would have the same name and throw each other out.
    #[error("{0} has a host name of its own (hostname), by which workers are told apart")]
    OwnHostName(String),
    /// Not what an engine says of a container.
    #[error("the engine's answer has no {0}")]
    Incomplete(&'static str),
}

/// Another container like `template` (the engine's inspection of one), with this number. `image` is what the engine's
/// list calls its image: the name while that still means the same image, else its id.
///
/// # Errors
///
/// [`NotATemplate`] for one that there can be only one of.
pub fn like(template: &Value, image: &str, number: u32) -> Result<Made, NotATemplate> {
    let id = text(&template["Id"], "Id")?;
    let short = id.get(..12).unwrap_or(id);
    let old_name = text(&template["Name"], "Name")?.trim_start_matches('/');
    let name = format!("{}{number}", prefix(template, old_name)?);

    let mut body = object(&template["Config"], "Config")?;
    match body.get("Hostname").and_then(Value::as_str) {
        // The engine's own choice, and it will choose anew.
        Some(hostname) if hostname.is_empty() || hostname == short => body.remove("Hostname"),
        None => None,
        Some(_) => return Err(NotATemplate::OwnHostName(old_name.to_owned())),
    };
    body.remove("MacAddress");
    body.insert("Image".into(), image.into());
    if let Some(labels) = body.get_mut("Labels").and_then(Value::as_object_mut) {
        labels.insert(NUMBER.into(), number.to_string().into());
        labels.remove(REPLACE);
    }

    let mut host_config = object(&template["HostConfig"], "HostConfig")?;
    if let Some(binds) = host_config.get_mut("Binds").and_then(Value::as_array_mut) {
        binds.retain(|bind| !bind.as_str().is_some_and(is_anonymous));
    }
    if let Some(mounts) = host_config.get_mut("Mounts").and_then(Value::as_array_mut) {
        for mount in mounts.iter_mut().filter_map(Value::as_object_mut) {
            let source = mount.get("Source").and_then(Value::as_str);
            // Without it the engine makes a new one.
            if mount.get("Type").is_some_and(|kind| kind == "volume")
                && source.is_some_and(is_anonymous)
            {
                mount.remove("Source");
            }
        }
    }
    let mode = host_config.get("NetworkMode").and_then(Value::as_str);
    let mode = mode.unwrap_or("default").to_owned();
    body.insert("HostConfig".into(), host_config.into());

    let networks = object(&template["NetworkSettings"]["Networks"], "Networks")?;
    let mut endpoints = Map::new();
    let mut connect = Vec::new();
    for (network, endpoint) in networks {
        let endpoint = endpoint_like(&endpoint, short, old_name, &name);
        if network == mode {
            endpoints.insert(network, endpoint);
        } else {
            connect.push((network, endpoint));
        }
    }
    let networking = json!({ "EndpointsConfig": endpoints });
    body.insert("NetworkingConfig".into(), networking);
    Ok(Made {
        name,
        body: body.into(),
        connect,
    })
}

/// What comes before the number in the names of this service's containers. 1.29 joins by `_`, later ones by `-`.
fn prefix<'a>(template: &Value, name: &'a str) -> Result<&'a str, NotATemplate> {
    let labels = &template["Config"]["Labels"];
    let project = text(&labels[PROJECT], PROJECT)?;
    let service = text(&labels[SERVICE], SERVICE)?;
    let prefix = name.trim_end_matches(|character: char| character.is_ascii_digit());
    // 1.29 leaves out what a container's name may not begin with.
    let project = project.trim_start_matches(['-', '_']);
    let composed = ['_', '-']
        .iter()
        .any(|joint| prefix == format!("{project}{joint}{service}{joint}"));
    if composed && prefix.len() < name.len() {
        Ok(prefix)
    } else {
        Err(NotATemplate::OwnName(name.to_owned()))
    }
}

/// What was asked for when the template was connected, without what the engine made of it: ids and addresses.
fn endpoint_like(endpoint: &Value, short: &str, old_name: &str, name: &str) -> Value {
    let aliases: Option<Vec<&str>> = endpoint["Aliases"].as_array().map(|aliases| {
        aliases
            .iter()
            .filter_map(Value::as_str)
            // The engine adds the id itself; before API 1.45 it also tells of it here.
            .filter(|alias| *alias != short)
            .map(|alias| if alias == old_name { name } else { alias })
            .collect()
    });
    let mut like = Map::new();
    if let Some(aliases) = aliases {
        like.insert("Aliases".into(), json!(aliases));
    }
    for field in ["Links", "DriverOpts", "GwPriority"] {
        if !endpoint[field].is_null() {
            like.insert(field.into(), endpoint[field].clone());
        }
    }
    like.into()
}

/// Compose hands an anonymous volume on to the container that takes another's place by its 64-digit name, 1.29 as a bind
/// and later ones as a mount; two containers must not share it.
fn is_anonymous(bind: &str) -> bool {
    let source = bind.split(':').next().unwrap_or_default();
    source.len() == 64 && source.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn text<'a>(value: &'a Value, what: &'static str) -> Result<&'a str, NotATemplate> {
    value.as_str().ok_or(NotATemplate::Incomplete(what))
}

fn object(value: &Value, what: &'static str) -> Result<Map<String, Value>, NotATemplate> {
    let object = value.as_object().ok_or(NotATemplate::Incomplete(what))?;
    Ok(object.clone())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As Docker 20.10 inspects a container that Compose 1.29 has made in the place of another.
    fn template() -> Value {
        json!({
            "Id": "4f2a1c".repeat(11),
            "Name": "/proj_worker_2",
            "Config": {
                "Hostname": "4f2a1c4f2a1c",
                "User": "10001",
                "Env": ["DATABASE_URL=postgres://taskmaster:secret@postgres/taskmaster"],
                "Cmd": ["worker"],
                "Image": "taskmaster:latest",
                "Labels": {
                    PROJECT: "proj", SERVICE: "worker", ONEOFF: "False", NUMBER: "2",
                    CONFIG_HASH: "c0ffee", REPLACE: "0123", "own": "kept",
                },
                "StopTimeout": 45,
                "FutureField": {"kept": true},
            },
            "HostConfig": {
                "NetworkMode": "proj_workers",
                "Binds": [format!("{}:/data:rw", "ab".repeat(32)), "/etc/certs:/certs:ro"],
                "Mounts": [
                    {"Type": "volume", "Source": "cd".repeat(32), "Target": "/scratch", "VolumeOptions": {}},
                    {"Type": "volume", "Source": "proj_cache", "Target": "/cache"},
                    {"Type": "bind", "Source": "/srv", "Target": "/srv"},
                ],
                "Memory": 536_870_912,
                "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
            },
            "NetworkSettings": {"Networks": {
                "proj_workers": {
                    "Aliases": ["worker", "4f2a1c4f2a1c", "proj_worker_2"],
                    "IPAMConfig": {}, "Links": null, "DriverOpts": null,
                    "NetworkID": "n1", "EndpointID": "e1", "IPAddress": "172.18.0.5", "MacAddress": "02:42",
                },
                "proj_extra": {"Aliases": ["w"], "DriverOpts": {"a": "b"}, "GwPriority": 7, "IPAddress": "172.19.0.5"},
            }},
        })
    }

    #[test]
    fn all_is_copied_but_what_is_one_containers_own() {
        let made = like(&template(), "taskmaster:latest", 7).unwrap();
        assert_eq!(made.name, "proj_worker_7");
        let expected = json!({
            "User": "10001",
            "Env": ["DATABASE_URL=postgres://taskmaster:secret@postgres/taskmaster"],
            "Cmd": ["worker"],
            "Image": "taskmaster:latest",
            "Labels": {
                PROJECT: "proj", SERVICE: "worker", ONEOFF: "False", NUMBER: "7",
                CONFIG_HASH: "c0ffee", "own": "kept",
            },
            "StopTimeout": 45,
            "FutureField": {"kept": true},
            "HostConfig": {
                "NetworkMode": "proj_workers",
                "Binds": ["/etc/certs:/certs:ro"],
                "Mounts": [
                    {"Type": "volume", "Target": "/scratch", "VolumeOptions": {}},
                    {"Type": "volume", "Source": "proj_cache", "Target": "/cache"},
                    {"Type": "bind", "Source": "/srv", "Target": "/srv"},
                ],
                "Memory": 536_870_912,
                "RestartPolicy": {"Name": "unless-stopped", "MaximumRetryCount": 0},
            },
            "NetworkingConfig": {"EndpointsConfig": {
                "proj_workers": {"Aliases": ["worker", "proj_worker_7"]},
            }},
        });
        assert_eq!(made.body, expected);
        let extra = json!({"Aliases": ["w"], "DriverOpts": {"a": "b"}, "GwPriority": 7});
        assert_eq!(made.connect, [("proj_extra".to_owned(), extra)]);
    }

    #[test]
    fn later_composes_join_by_another_sign() {
        let mut template = template();
        template["Name"] = "/proj-worker-12".into();
        assert_eq!(like(&template, "i", 13).unwrap().name, "proj-worker-13");
    }

    #[test]
    fn what_there_can_be_only_one_of_is_refused() {
        for name in [
            "/the-worker",
            "/proj_worker_",
            "/proj_worker",
            "/worker-1",
            "/proj_worker_a1",
        ] {
            let mut template = template();
            template["Name"] = name.into();
            let own = NotATemplate::OwnName(name[1..].to_owned());
            assert_eq!(like(&template, "i", 3), Err(own));
        }
        let mut template = template();
        template["Config"]["Hostname"] = "worker-host".into();
        let own = NotATemplate::OwnHostName("proj_worker_2".to_owned());
        assert_eq!(like(&template, "i", 3), Err(own));
    }

    #[test]
    fn no_answer_makes_it_panic() {
        for part in ["Id", "Name", "Config", "HostConfig", "NetworkSettings"] {
            let mut template = template();
            template[part] = Value::Null;
            assert!(
                matches!(like(&template, "i", 3), Err(NotATemplate::Incomplete(_))),
                "{part}"
            );
        }
    }

    proptest! {
        /// A copy of a copy is a copy: a fleet that was scaled often is as Compose made it.
        #[test]
        fn copies_of_copies_differ_in_their_number_only(first in 1..999_u32, second in 1..999_u32) {
            let template = template();
            let direct = like(&template, "i", second).unwrap();
            let copy = like(&template, "i", first).unwrap();
            let short = "0a1b2c3d4e5f";
            let mut networks = copy.body["NetworkingConfig"]["EndpointsConfig"].clone();
            for (network, endpoint) in copy.connect {
                networks[network] = endpoint;
            }
            let mut config = copy.body.as_object().unwrap().clone();
            config.remove("HostConfig");
            config.remove("NetworkingConfig");
            config.insert("Hostname".into(), short.into());
            let inspected = json!({
                "Id": format!("{short}{short}"), "Name": format!("/{}", copy.name), "Config": config,
                "HostConfig": copy.body["HostConfig"], "NetworkSettings": {"Networks": networks},
            });
            prop_assert_eq!(like(&inspected, "i", second).unwrap(), direct);
        }
    }
}
