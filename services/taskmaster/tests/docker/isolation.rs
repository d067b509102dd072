//! What a command of a task gets to see in a worker's container: no password, and nobody who could act for it.

use anyhow::Result;
use serde_json::json;

use crate::engine::docker;
use crate::project::Project;

/// Prints the readable environments that hold an address with a password, and how many of them are the command's own.
const LOOK_AROUND: &str = r#"
for file in /proc/[0-9]*/environ; do
    tr '\0' '\n' 2>/dev/null <"$file" | grep -qE '^(DATABASE_URL|AMQP_URL)=' && echo "$file"
done
tr '\0' '\n' </proc/$$/environ | grep -c '^TASKMASTER_TASK_ID='
touch /file 2>/dev/null || echo unwritable
id -u
printf '#!/bin/sh\necho runs\n' >/tmp/program && chmod +x /tmp/program && /tmp/program
"#;

pub(crate) async fn a_task_finds_no_password_and_reaches_nobody_but_the_servers(
    project: &Project,
) -> Result<()> {
    let api = project.api();
    let id = api.submit(&json!({"command": LOOK_AROUND})).await?;
    api.wait(&id, "completed").await?;
    let seen = api.output(&id).await?;
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines, ["1", "unwritable", "10001", "runs"]);

    let mut places = vec![
        "postgres/5432".to_owned(),
        "rabbitmq/5672".to_owned(),
        "api/8081".to_owned(),
        "docker-proxy/2375".to_owned(),
    ];
    let addresses = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
    for (service, port) in [("api", 8081), ("docker-proxy", 2375)] {
        let container = &project.service(service).await?[0].id;
        let listed = docker(&["inspect", "--format", addresses, container]).await?;
        assert!(!listed.is_empty(), "{service} has no address");
        let of_service = listed.split_whitespace();
        places.extend(of_service.map(|address| format!("{address}/{port}")));
    }
    // The machine itself, where the API's port is published on loopback only.
    let network = format!("{}_workers", project.name());
    let gateway = "{{(index .IPAM.Config 0).Gateway}}";
    let gateway = docker(&["network", "inspect", "--format", gateway, &network]).await?;
    places.push(format!("{gateway}/{}", project.port()));

    let command = format!(
        "for place in {}; do \
             timeout 2 bash -c \"exec 3<>/dev/tcp/$place\" 2>/dev/null && echo $place; \
             done; true",
        places.join(" ")
    );
    let id = api.submit(&json!({"command": command})).await?;
    api.wait(&id, "completed").await?;
    let reached = api.output(&id).await?;
    let reached: Vec<_> = reached.lines().collect();
    assert_eq!(reached, ["postgres/5432", "rabbitmq/5672"]);
    Ok(())
}
