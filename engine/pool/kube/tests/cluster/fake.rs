//! Failure cases of pods and API server on the fake one.

use plue_pool_kube::{
    machine::DriftClass,
    pod,
    reconciler::{Manager, Pass},
};
use plue_store::{RunnerState, pool::PoolChange};
use plue_testkit::kube::{FakeKube, Fault, Verb};
use serde_json::json;

use crate::support::{POOL, World, pass, template};

async fn world(min_idle: u32) -> (FakeKube, World, Manager) {
    let api = FakeKube::start().await;
    let folder = tempfile::tempdir().unwrap();
    let config = api.kubeconfig(folder.path());
    let world = World::new(&config, "plue", template("busybox:1", POOL)).await;
    let manager = world.manager("e1", min_idle).await;
    (api, world, manager)
}

/// Removes pods whose deletion was requested, as their kubelet does.
fn end_deleted(api: &FakeKube) -> usize {
    let deleted: Vec<_> = api
        .pods()
        .into_iter()
        .filter(|pod| !pod["metadata"]["deletionTimestamp"].is_null())
        .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    deleted.iter().filter_map(|name| api.remove(name)).count()
}

#[tokio::test]
async fn pools_fill_and_stay_full() {
    let (api, world, mut manager) = world(2).await;
    for _ in 0..3 {
        pass(&mut manager).await;
        assert_eq!(api.pods().len(), 2);
    }
    world.assert_paired().await;
}

#[tokio::test]
async fn failure_case_23_deleted_pods_end_their_runners() {
    let (api, world, mut manager) = world(2).await;
    pass(&mut manager).await;
    let rows = world.rows().await;
    world.ready(&rows[0].runner).await;
    world.ready(&rows[1].runner).await;
    let taken = world.take("r1").await.unwrap();
    for row in &rows {
        api.remove(&pod::name(&row.runner)).unwrap();
    }
    let decision = pass(&mut manager).await;
    assert_eq!(decision.drift[&DriftClass::RowWithoutPod], 2);
    let row = world.store.runners().get(&taken).await.unwrap().unwrap();
    assert_eq!((row.state, row.reason.as_deref()), (RunnerState::Gone, Some("its pod is gone")));
    pass(&mut manager).await;
    world.assert_paired().await;
}

#[tokio::test]
async fn failure_case_24_evicted_pods_are_lost_even_with_exit_0() {
    let (api, world, mut manager) = world(1).await;
    pass(&mut manager).await;
    let runner = world.rows().await[0].runner.clone();
    world.ready(&runner).await;
    world.take("r1").await.unwrap();
    api.update(&pod::name(&runner), |pod| {
        pod["status"] = json!({"phase": "Succeeded", "reason": "Evicted"});
    });
    pass(&mut manager).await;
    let row = world.store.runners().get(&runner).await.unwrap().unwrap();
    assert_eq!(row.reason.as_deref(), Some("its pod was evicted"));
    pass(&mut manager).await;
    assert_eq!(end_deleted(&api), 1);
    pass(&mut manager).await;
    world.assert_paired().await;
}

#[tokio::test]
async fn failure_case_25_memory_limits_are_named() {
    let (api, world, mut manager) = world(1).await;
    pass(&mut manager).await;
    let runner = world.rows().await[0].runner.clone();
    api.update(&pod::name(&runner), |pod| {
        pod["status"] = json!({"phase": "Failed", "containerStatuses": [{
            "name": "runner", "image": "a", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        }]});
    });
    pass(&mut manager).await;
    let row = world.store.runners().get(&runner).await.unwrap().unwrap();
    assert_eq!(row.reason.as_deref(), Some("its pod exceeded its memory limit"));
}

#[tokio::test]
async fn failure_case_29_image_errors_stop_creations() {
    let (api, world, mut manager) = world(3).await;
    for _ in 0..6 {
        pass(&mut manager).await;
        for row in world.rows().await {
            api.update(&pod::name(&row.runner), |pod| {
                pod["status"] = json!({"phase": "Pending", "containerStatuses": [{
                    "name": "runner", "image": "a", "imageID": "", "ready": false,
                    "restartCount": 0, "state": {"waiting": {
                        "reason": "ImagePullBackOff", "message": "no such image"}},
                }]});
            });
        }
        end_deleted(&api);
    }
    assert!(world.rows().await.len() <= 1, "no storm");
    let pools = world.store.pools().list().await.unwrap();
    assert_eq!(pools[0].degraded.as_deref(), Some("ImagePullBackOff: no such image"));
}

#[tokio::test]
async fn failure_case_30_refused_pods_leave_no_rows() {
    let (api, world, mut manager) = world(1).await;
    (0..9).for_each(|_| api.fail(Verb::Create, Fault::Refuse(403)));
    for _ in 0..5 {
        pass(&mut manager).await;
    }
    assert!(api.pods().is_empty() && world.rows().await.is_empty());
}

#[tokio::test]
async fn failure_case_32_restarted_containers_end_runners() {
    let (api, world, mut manager) = world(1).await;
    pass(&mut manager).await;
    let runner = world.rows().await[0].runner.clone();
    api.update(&pod::name(&runner), |pod| {
        pod["status"] = json!({"phase": "Running", "containerStatuses": [{
            "name": "runner", "image": "a", "imageID": "", "ready": true, "restartCount": 1,
        }]});
    });
    pass(&mut manager).await;
    let row = world.store.runners().get(&runner).await.unwrap().unwrap();
    assert_eq!(row.reason.as_deref(), Some("a container of its pod was restarted"));
}

#[tokio::test]
async fn failure_case_35_failed_creations_make_no_second_pod() {
    for fault in [
        Fault::Refuse(409),
        Fault::Refuse(429),
        Fault::Refuse(500),
        Fault::AfterSuccess(500),
        Fault::AfterSuccess(504),
    ] {
        let (api, world, mut manager) = world(1).await;
        api.fail(Verb::Create, fault);
        for _ in 0..3 {
            pass(&mut manager).await;
        }
        assert_eq!(api.pods().len(), 1, "{fault:?}");
        world.assert_paired().await;
    }
}

#[tokio::test]
async fn failure_case_35_failed_deletions_are_repeated() {
    for fault in [Fault::Refuse(500), Fault::Refuse(429), Fault::AfterSuccess(504)] {
        let (api, world, mut manager) = world(1).await;
        pass(&mut manager).await;
        api.fail(Verb::Delete, fault);
        world
            .store
            .pools()
            .change(POOL, PoolChange::Drain(true), plue_runtime::Clock::real().now())
            .await
            .unwrap();
        for _ in 0..4 {
            pass(&mut manager).await;
            end_deleted(&api);
        }
        assert!(api.pods().is_empty() && world.rows().await.is_empty(), "{fault:?}");
    }
}

#[tokio::test]
async fn failure_case_36_outages_conclude_nothing() {
    let (api, world, mut manager) = world(2).await;
    pass(&mut manager).await;
    let runner = world.rows().await[0].runner.clone();
    world.ready(&runner).await;
    for _ in 0..5 {
        api.fail(Verb::List, Fault::Refuse(500));
        pass(&mut manager).await;
    }
    assert_eq!(world.take("r1").await, Some(runner), "claims need no API server");
    world.assert_paired().await;
}

#[tokio::test]
async fn failure_case_38_paused_managers_create_nothing() {
    let (api, world, mut first) = world(2).await;
    let mut second = world.manager("e2", 2).await;
    pass(&mut first).await;
    assert_eq!(second.pass(0).await.unwrap(), Pass::NotLeading);
    world.store.engines().end("e1").await.unwrap();
    pass(&mut second).await;
    assert_eq!(first.pass(0).await.unwrap(), Pass::NotLeading);
    assert_eq!(api.pods().len(), 2);
    world.assert_paired().await;
}

#[tokio::test]
async fn failure_case_39_orphans_are_deleted_when_old() {
    let (api, world, mut manager) = world(1).await;
    pass(&mut manager).await;
    let mut orphan = api.pods().remove(0);
    orphan["metadata"]["name"] = "plue-lost".into();
    orphan["metadata"]["labels"][pod::RUNNER_LABEL] = "lost".into();
    api.add(orphan);
    pass(&mut manager).await;
    assert_eq!(end_deleted(&api), 0, "its row may be on its way");
    api.update("plue-lost", |pod| {
        pod["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z".into();
    });
    let decision = pass(&mut manager).await;
    assert_eq!(decision.drift[&DriftClass::PodWithoutRow], 1);
    assert_eq!(end_deleted(&api), 1);
    world.assert_paired().await;
}

#[tokio::test]
async fn failure_case_40_foreign_pods_are_left_alone() {
    let (api, world, mut manager) = world(1).await;
    pass(&mut manager).await;
    let mut foreign = api.pods().remove(0);
    foreign["metadata"]["name"] = "theirs".into();
    foreign["metadata"]["ownerReferences"] = json!([]);
    api.add(foreign);
    api.update("theirs", |pod| {
        pod["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z".into();
    });
    let decision = pass(&mut manager).await;
    assert_eq!(decision.drift[&DriftClass::ForeignPod], 1);
    assert_eq!((end_deleted(&api), api.pods().len()), (0, 2));
    world.assert_paired().await;
}

#[tokio::test]
async fn failure_case_42_scaled_down_pools_keep_claimed_pods() {
    let (api, world, mut manager) = world(2).await;
    pass(&mut manager).await;
    for row in world.rows().await {
        world.ready(&row.runner).await;
    }
    let taken = world.take("r1").await.unwrap();
    let none = PoolChange::Scale { min_idle: Some(0), max: Some(0) };
    world.store.pools().change(POOL, none, plue_runtime::Clock::real().now()).await.unwrap();
    for _ in 0..4 {
        pass(&mut manager).await;
        end_deleted(&api);
    }
    let rows = world.rows().await;
    assert_eq!(rows.iter().map(|row| &row.runner).collect::<Vec<_>>(), [&taken]);
    world.assert_paired().await;
}

#[test]
fn pods_are_restricted_and_hold_no_secret() {
    let owner = pod::Owner { name: "plue-owner".to_owned(), uid: "u".to_owned() };
    let made = pod::manifest(&template("busybox:1", POOL), &owner, &plue_plan::RunnerId::new("r1"));
    let spec = &made["spec"];
    assert_eq!(spec["automountServiceAccountToken"], json!(false));
    assert_eq!(spec["restartPolicy"], json!("Never"));
    assert_eq!(spec["securityContext"]["runAsNonRoot"], json!(true));
    assert_eq!(spec["securityContext"]["seccompProfile"]["type"], json!("RuntimeDefault"));
    for container in spec["containers"].as_array().unwrap() {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], json!(false));
        assert_eq!(context["readOnlyRootFilesystem"], json!(true));
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]));
        let env = container["env"].as_array().unwrap();
        assert!(env.iter().all(|one| one["valueFrom"]["secretKeyRef"].is_null()));
    }
    for volume in spec["volumes"].as_array().unwrap() {
        let sized = !volume["emptyDir"]["sizeLimit"].is_null();
        let identity = &volume["projected"]["sources"][0]["serviceAccountToken"]["audience"];
        assert!(sized || *identity == json!("plue-runner"), "{volume}");
    }
}
