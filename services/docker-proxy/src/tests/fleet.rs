//! The fleet, which really asks.

use taskmaster_fleet::docker::DockerFleetConfig;
use taskmaster_fleet::{DockerFleet, Fleet, Workload};
use tokio::sync::mpsc;

use super::{SECRET, compose};

#[tokio::test]
async fn the_fleet_sees_no_environment_and_its_new_workers_have_one() {
    let (engine, client) = compose().await;
    let config = DockerFleetConfig {
        host: format!("tcp://{}", client.address),
        project: Some("tm".to_owned()),
        service: "worker".to_owned(),
    };
    let fleet = Fleet::Docker(DockerFleet::new(config).unwrap());
    let (steps, _told) = mpsc::unbounded_channel();
    let outcome = fleet.scale(3, &Workload::default(), steps).await.unwrap();
    assert_eq!(outcome.started, ["tm_worker_3"], "{outcome:?}");
    let asked = engine.take();
    let mut lines = asked.iter();
    let created = lines.find(|asked| asked.line.starts_with("POST /containers/create"));
    assert!(created.unwrap().body.contains(SECRET));
}
