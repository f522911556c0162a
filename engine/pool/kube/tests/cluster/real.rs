//! The same on a real cluster: `PLUE_TEST_KUBECONFIG` names it, `PLUE_TEST_IMAGE` an image whose
//! `/usr/bin/plue-runner` stays: the test plays its session. The namespace `plue-l4` enforces restricted pods and has the `ConfigMap` `plue-owner`:
//! `scripts/test_kubernetes.sh` prepares and runs this.

use std::{path::PathBuf, time::Instant};

use plue_pool_kube::{PodApi as _, machine::PodPhase, pod};
use plue_store::{RunnerState, pool::PoolChange};

use crate::support::{POOL, World, pass, template};

#[expect(clippy::disallowed_methods, reason = "the cluster is the caller's")]
fn cluster() -> Option<(PathBuf, String)> {
    let config = std::env::var_os("PLUE_TEST_KUBECONFIG")?;
    let image = std::env::var("PLUE_TEST_IMAGE").ok()?;
    Some((config.into(), image))
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "it measures")]
async fn real_pods_start_vanish_and_drain() {
    let Some((config, image)) = cluster() else {
        println!("NOT PROVEN: PLUE_TEST_KUBECONFIG and PLUE_TEST_IMAGE are not set");
        return;
    };
    let world = World::new(&config, "plue-l4", template(&image, POOL)).await;
    let mut manager = world.manager("e1", 2).await;
    let start = Instant::now();
    pass(&mut manager).await;
    println!("2 pods created after {:?}", start.elapsed());
    assert_eq!(world.rows().await.len(), 2);
    world.assert_paired().await;
    let mut started = 0;
    while started < 2 && start.elapsed().as_secs() < 60 {
        let pods = world.pods.list().await.unwrap();
        started = pods.iter().filter(|pod| pod.phase == PodPhase::Running).count();
    }
    println!("2 pods started after {:?}: the cold start", start.elapsed());
    assert_eq!(started, 2, "{:?}", world.pods.list().await);

    let rows = world.rows().await;
    for row in rows.iter().filter(|row| row.state == RunnerState::Warming) {
        world.ready(&row.runner).await;
    }
    let claim = Instant::now();
    let taken = world.take("r1").await.unwrap();
    println!("warm runner claimed in {:?}", claim.elapsed());
    let pods = world.pods.list().await.unwrap();
    let victim = pods.iter().find(|one| one.runner == taken).unwrap();
    world.pods.delete(&victim.name, &victim.uid).await.unwrap();
    let deleted = Instant::now();
    let gone = loop {
        pass(&mut manager).await;
        let row = world.store.runners().get(&taken).await.unwrap().unwrap();
        if row.state == RunnerState::Gone {
            break row.reason;
        }
        assert!(deleted.elapsed().as_secs() < 120);
    };
    println!("runner of the deleted pod gone after {:?}: {gone:?}", deleted.elapsed());

    let drained = Instant::now();
    world
        .store
        .pools()
        .change(POOL, PoolChange::Drain(true), plue_runtime::Clock::real().now())
        .await
        .unwrap();
    while !world.pods.list().await.unwrap().is_empty() || !world.rows().await.is_empty() {
        pass(&mut manager).await;
        assert!(drained.elapsed().as_secs() < 120, "{:?}", world.pods.list().await);
    }
    println!("drained, nothing left, after {:?}", drained.elapsed());
    assert!(pod::name(&taken).starts_with("plue-"));
}
