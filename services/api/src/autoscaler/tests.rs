//! What becomes of a fleet that cannot be scaled.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use taskmaster_broker::BrokerConfig;
use taskmaster_core::autoscale::SettingsPatch;
use taskmaster_fleet::{Fleet, Output, ProcessFleet, ProcessFleetConfig};
use taskmaster_store::audit;
use taskmaster_testkit::{TestDatabase, random_prefix};

use super::*;
use crate::ApiConfig;

#[tokio::test]
async fn a_fleet_that_could_not_be_scaled_is_left_alone_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("worker");
    std::fs::write(&program, "#!/bin/sh\nexec sleep 600\n").unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let config = ProcessFleetConfig {
        program: program.clone(),
        args: Vec::new(),
        envs: Vec::new(),
        grace: Duration::from_secs(5),
        output: Output::Files(folder.path().to_owned()),
    };
    let fleet = Fleet::Processes(ProcessFleet::start(config, 1).await.unwrap());
    // Nobody can be started any more.
    std::fs::remove_file(program).unwrap();
    let database = TestDatabase::create().await.unwrap();
    let config = ApiConfig {
        store: StoreConfig::new(database.url().as_str().into(), 5),
        broker: BrokerConfig::new("amqp://127.0.0.1:1", &random_prefix()).unwrap(),
        listen: "127.0.0.1:0".parse().unwrap(),
        allowed_hosts: Vec::new(),
        autoscale_interval: 1,
        fleet_patience: crate::FLEET_PATIENCE,
    };
    let shutdown = CancellationToken::new();
    let state = ApiState::new(&config, Arc::new(fleet.clone()), shutdown).unwrap();
    let two = SettingsPatch {
        enabled: Some(true),
        min: Some(2),
        ..SettingsPatch::default()
    };
    let change = |settings| Ok::<_, ()>(two.apply(settings));
    let set = audit::New {
        id: uuid::Uuid::now_v7(),
        caller: "somebody",
        action: "fleet.autoscaler",
        fleet: "processes",
        request: &serde_json::json!({}),
        reason: None,
    };
    autoscaler::change(&state.pool, &set, change)
        .await
        .unwrap()
        .unwrap();

    let mut leader = Leader::new(&state, Duration::from_secs(1));
    let next = leader.run_once().await.unwrap();
    assert_eq!(next, Next::After(FAILED_PAUSE));
    let decisions = autoscaler::decisions(&state.pool, None, 10).await.unwrap();
    let [decision] = &*decisions else {
        panic!("{decisions:?}")
    };
    assert_eq!(
        (decision.from, decision.to, decision.applied),
        (1, 2, false)
    );
    assert!(decision.error.is_some(), "{decision:?}");
    // Its end is written down after it is told.
    state.operations.stopped().await;
    let audited = audit::list(&state.pool, None, 10).await.unwrap();
    let tried = audited.iter().find(|it| it.action == "fleet.autoscale");
    assert_eq!(
        tried.unwrap().outcome.as_deref(),
        Some("failed"),
        "{audited:?}"
    );
    assert_eq!(fleet.workers().await.unwrap().len(), 1);
    fleet.shutdown().await;
}
