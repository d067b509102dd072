//! A Swarm of two machines, the second one being a container with an engine of its own.

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use taskmaster_testkit::{Api, eventually, random_prefix};
use tokio::io::AsyncWriteExt;

use crate::engine::{client, docker, host, image, output};
use crate::load;
use crate::project::root;

/// The second machine: Debian with the engine.
const MACHINE: &str = "FROM debian:bookworm-slim\n\
    RUN apt-get update && apt-get install --yes --no-install-recommends docker.io iptables ca-certificates procps \
        && rm -rf /var/lib/apt/lists/*\n";
/// What an engine in a container needs. Not `--privileged`, which asks for more than the machine of a test may have itself.
const RIGHTS: [&str; 7] = [
    "SYS_ADMIN",
    "NET_ADMIN",
    "NET_RAW",
    "SYS_PTRACE",
    "SYS_CHROOT",
    "MKNOD",
    "DAC_READ_SEARCH",
];
const LOOSE: [&str; 3] = [
    "seccomp=unconfined",
    "apparmor=unconfined",
    "systempaths=unconfined",
];
/// How it starts. Only `--privileged` mounts these to be written to.
const START: &str = "for place in /sys /sys/fs/cgroup /sys/fs/cgroup/*; do \
    mount -o remount,bind,rw $place 2>/dev/null; done; exec dockerd";
/// Its image.
const MACHINE_IMAGE: &str = "taskmaster-test-machine";

/// The stack, and what is taken down at its end.
struct Swarm {
    stack: String,
    machine: String,
    /// Where the API is published.
    port: u16,
    api: Api,
}

impl Swarm {
    fn new() -> Result<Self> {
        let name = random_prefix();
        let port = std::net::TcpListener::bind(("127.0.0.1", 0))?
            .local_addr()?
            .port();
        Ok(Self {
            stack: format!("taskmaster-{name}"),
            machine: format!("taskmaster-machine-{name}"),
            port,
            api: Api::new(format!("http://127.0.0.1:{port}"))?,
        })
    }

    /// Two machines, and the stack on them with this many workers, all online.
    async fn deploy(&self, address: &str, workers: u32) -> Result<()> {
        let node = docker(&["info", "--format", "{{.Swarm.NodeID}}"]).await?;
        docker(&[
            "node",
            "update",
            "--label-add",
            "taskmaster.data=true",
            &node,
        ])
        .await?;
        self.join(address).await?;

        let mut deploy = client(&["stack", "deploy", "--compose-file", "deploy/stack.yml"])?;
        deploy
            .arg(&self.stack)
            .current_dir(root())
            .env("TASKMASTER_IMAGE", image()?)
            .env("TASKMASTER_PORT", self.port.to_string())
            .env("TASKMASTER_WORKERS", workers.to_string())
            .env("POSTGRES_PASSWORD", random_prefix())
            .env("RABBITMQ_PASSWORD", random_prefix());
        if let Some(socket) = host()?.strip_prefix("unix://") {
            deploy.env("DOCKER_SOCKET", socket);
        }
        output(deploy).await?;
        self.until_online(workers).await?;
        eventually("the API reaches the engine", async || {
            let (_, fleet) = self.api.get("/api/v1/fleet").await?;
            Ok(if fleet["available"] == true {
                Ok(())
            } else {
                Err(fleet.to_string())
            })
        })
        .await
    }

    /// Starts the second machine, gives it our image, and makes it a node.
    async fn join(&self, manager: &str) -> Result<()> {
        let mut build = client(&["build", "--quiet", "--tag", MACHINE_IMAGE, "-"])?
            .env("DOCKER_BUILDKIT", "0")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = build.stdin.take().context("no standard input")?;
        stdin.write_all(MACHINE.as_bytes()).await?;
        drop(stdin);
        ensure!(
            build.wait().await?.success(),
            "the machine's image was not built"
        );
        let mut run = vec!["run", "--detach"];
        run.extend(["--name", &self.machine, "--hostname", &self.machine]);
        // As `cargo xtask` finds what a test left that was killed.
        let label = format!("com.docker.compose.project={}", self.stack);
        run.extend(["--label", &label]);
        run.extend(RIGHTS.iter().flat_map(|right| ["--cap-add", right]));
        run.extend(LOOSE.iter().flat_map(|loose| ["--security-opt", loose]));
        run.extend(["--device-cgroup-rule", "a *:* rwm"]);
        run.extend(["--volume", "/var/lib/docker", MACHINE_IMAGE, "sh", "-c"]);
        run.push(START);
        docker(&run).await?;
        eventually("the second machine's engine answers", async || {
            let asked = docker(&["exec", &self.machine, "docker", "version"]).await;
            Ok(asked.map_err(|error| format!("{error:#}")))
        })
        .await?;
        let our_client = client(&[])?.as_std().get_program().to_owned();
        let copy = format!(
            "{client} save {image} | {client} exec --interactive {machine} docker load",
            client = our_client.display(),
            image = image()?,
            machine = self.machine,
        );
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", &copy]).env("DOCKER_HOST", host()?);
        output(shell).await?;
        let token = docker(&["swarm", "join-token", "--quiet", "worker"]).await?;
        let manager = format!("{manager}:2377");
        docker(&[
            "exec",
            &self.machine,
            "docker",
            "swarm",
            "join",
            "--token",
            &token,
            &manager,
        ])
        .await?;
        Ok(())
    }

    async fn until_online(&self, workers: u32) -> Result<()> {
        eventually(&format!("{workers} workers are online"), async || {
            let Ok((200, body)) = self.api.get("/api/v1/workers").await else {
                return Ok(Err("the API does not answer yet".to_owned()));
            };
            let all = body["workers"].as_array().context("no workers")?;
            let online = all.iter().filter(|worker| worker["status"] != "offline");
            Ok(if online.count() == workers as usize {
                Ok(())
            } else {
                Err(body.to_string())
            })
        })
        .await
    }

    async fn scale(&self, count: u32) -> Result<Value> {
        let body = json!({"count": count});
        let (status, answer) = self.api.post("/api/workers/scale", &body).await?;
        ensure!(status == 200, "{status}: {answer}");
        self.until_online(count).await?;
        Ok(answer)
    }

    /// The ids of the tasks of the workers' service that are to run.
    async fn tasks(&self) -> Result<Vec<String>> {
        let service = format!("{}_worker", self.stack);
        let listed = docker(&[
            "service",
            "ps",
            "--quiet",
            "--no-trunc",
            "--filter",
            "desired-state=running",
            &service,
        ])
        .await?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Removes all of it, also when a test has failed.
    async fn end(&self) -> Result<()> {
        let stack = docker(&["stack", "rm", &self.stack]).await;
        let machine = docker(&["rm", "--force", "--volumes", &self.machine]).await;
        let swarm = docker(&["swarm", "leave", "--force"]).await;
        let volumes = self.remove_volumes().await;
        stack.and(machine).and(swarm)?;
        volumes
    }

    /// Nothing else does. The containers, which go after the stack has gone, have them for a while.
    async fn remove_volumes(&self) -> Result<()> {
        let filter = format!("label=com.docker.stack.namespace={}", self.stack);
        eventually("the stack's volumes are removed", async || {
            let listed = docker(&["volume", "ls", "--quiet", "--filter", &filter]).await?;
            if listed.is_empty() {
                return Ok(Ok(()));
            }
            let mut remove = vec!["volume", "rm"];
            remove.extend(listed.lines());
            Ok(docker(&remove)
                .await
                .map(drop)
                .map_err(|error| format!("{error:#}")))
        })
        .await
    }
}

#[tokio::test]
#[ignore = "needs a Docker engine of its own: cargo xtask test --only docker"]
async fn a_stack_is_scaled_and_a_node_is_drained() -> Result<()> {
    // By its name: an engine that was started for the first time does not say which address its bridge has.
    let bridge = docker(&[
        "network",
        "inspect",
        "bridge",
        "--format",
        "{{index .Options \"com.docker.network.bridge.name\"}}",
    ])
    .await?;
    let swarm = Swarm::new()?;
    // Not left for a Swarm that is not ours: this fails if there is one.
    docker(&["swarm", "init", "--advertise-addr", &bridge]).await?;
    let tested = async {
        let address = docker(&["info", "--format", "{{.Swarm.NodeAddr}}"]).await?;
        swarm.deploy(&address, 2).await?;
        scaled_and_drained(&swarm).await
    }
    .await;
    let ended = swarm.end().await;
    tested.and(ended)
}

fn time(value: &Value) -> Result<DateTime<Utc>> {
    Ok(value.as_str().context("no time")?.parse()?)
}

async fn scaled_and_drained(swarm: &Swarm) -> Result<()> {
    let two = swarm.tasks().await?;
    load::during(&swarm.api, async {
        let answer = swarm.scale(5).await?;
        ensure!(
            answer["started"]
                .as_array()
                .is_some_and(|started| started.len() == 3),
            "{answer}"
        );
        let five = swarm.tasks().await?;
        ensure!(
            two.iter().all(|task| five.contains(task)),
            "a scaling has replaced tasks: {two:?} {five:?}"
        );
        let answer = swarm.scale(1).await?;
        ensure!(
            answer["draining"]
                .as_array()
                .is_some_and(|draining| draining.len() == 4),
            "{answer}"
        );
        swarm.scale(4).await.map(drop)
    })
    .await?;

    let (_, fleet) = swarm.api.get("/api/v1/fleet").await?;
    let nodes = fleet["nodes"].as_array().context("no nodes")?;
    ensure!(nodes.len() == 2, "{fleet}");
    let members = fleet["members"].as_array().context("no members")?;
    let there: Vec<&Value> = members
        .iter()
        .filter(|member| member["node"] == swarm.machine)
        .collect();
    ensure!(
        !there.is_empty(),
        "no worker is on the second machine: {fleet}"
    );

    // More than all workers run at once, so that each worker has some.
    let task = json!({"command": "sleep 10", "max_attempts": 1});
    let ids = swarm.api.submit_all(&vec![task; 24]).await?;
    let hosts: Vec<&Value> = there.iter().map(|member| &member["host"]).collect();
    let task = eventually("a worker of the second machine runs a task", async || {
        for id in &ids {
            let task = swarm.api.task(id).await?;
            if task["status"] == "running" && hosts.contains(&&task["assigned_worker_name"]) {
                return Ok(Ok(task));
            }
        }
        Ok(Err("none does".to_owned()))
    })
    .await?;
    docker(&["node", "update", "--availability", "drain", &swarm.machine]).await?;
    // By Postgres's clock, as the end of the other one.
    let marker = swarm.api.submit(&json!({"command": "true"})).await?;
    let told_at = time(&swarm.api.task(&marker).await?["created_at"])?;
    let id = task["id"].as_str().context("no id")?;
    let ended = swarm.api.wait(id, "completed").await?;
    ensure!(
        ended["assigned_worker_name"] == task["assigned_worker_name"],
        "{ended}"
    );
    ensure!(
        time(&ended["completed_at"])? > told_at,
        "it had ended when the node was drained, at {told_at}: {ended}"
    );
    load::all_completed(&swarm.api, &ids).await?;
    let (_, fleet) = swarm.api.get("/api/v1/fleet").await?;
    let drained = |node: &&Value| node["name"] == swarm.machine && node["availability"] == "drain";
    let nodes = fleet["nodes"].as_array().context("no nodes")?;
    ensure!(nodes.iter().any(|node| drained(&node)), "{fleet}");
    Ok(())
}
