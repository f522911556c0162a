//! Steps that ask for more than there is, or for what others use now.

use plue_flow::{RunStatus, StepStatus};
use plue_plan::{Plan, Step};
use plue_runtime::{Phase, Shutdown};
use serde_json::{Value as Json, json};

use super::world::{World, bash};

fn wants(mut step: Step, resources: &Json) -> Step {
    step.options.resources = serde_json::from_value(resources.clone()).unwrap();
    step
}

async fn world(resources: &[&str], labels: &[&str]) -> World {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("work")).unwrap();
    World::with_capacity(directory, resources, labels).await
}

#[tokio::test]
async fn row_2_05_unschedulable_steps_stay_queued_with_a_reason() {
    let small = world(&["cpu=2"], &[]).await;
    let big = wants(bash("big", "echo done"), &json!({"gpu": 1, "labels": "cuda"}));
    let run = small.submit(Plan::new("t", vec![big, bash("test", "true")])).await;
    let secrets = std::sync::Arc::new(small.secrets.clone());
    let (shutdown, stop) = Shutdown::new();
    let handle = small.engine.drive(&run, secrets, stop).await.unwrap();
    small.until(&run, "test", StepStatus::Success).await;
    assert_eq!(small.step(&run, "big").await, StepStatus::Queued);
    let why = "waits for a runner: asks for the label `cuda`; no runner of pool `default` has it";
    assert_eq!(small.why(&run, "big").await, why);
    assert!(
        small
            .store
            .attempts()
            .list(&run, None)
            .await
            .unwrap()
            .iter()
            .all(|row| { row.claim.attempt.as_str().contains(":test:") })
    );
    shutdown.advance(Phase::Aborting);
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Running);
    small.check_rows(&run).await;
    // The label, but not enough.
    let labelled = World::with_capacity(small.directory, &[], &["cuda"]).await;
    let secrets = std::sync::Arc::new(labelled.secrets.clone());
    let (shutdown, stop) = Shutdown::new();
    let handle = labelled.engine.drive(&run, secrets, stop).await.unwrap();
    let mut changes = labelled.store.changes_of(&run);
    while !labelled.why(&run, "big").await.contains("gpu=1; no runner") {
        changes.changed().await.unwrap();
    }
    shutdown.advance(Phase::Aborting);
    handle.wait().await.unwrap();
    let large = World::with_capacity(labelled.directory, &["gpu=2"], &["cuda"]).await;
    assert_eq!(large.drive(&run).await, RunStatus::Success);
    assert_eq!(large.log(&run, "big").await, "done\n");
    assert_eq!(large.why(&run, "big").await, "");
    large.check_rows(&run).await;
}

#[tokio::test]
async fn row_2_05_steps_with_equal_requests_take_turns() {
    let world = world(&["cpu=4"], &[]).await;
    // Each fails if it sees another one.
    let alone = "mkdir lock; sleep 0.05; rmdir lock";
    let steps = (0..4).map(|n| wants(bash(&format!("s{n}"), alone), &json!({"cpu": 3})));
    let (run, status) = world.run(steps.collect()).await;
    assert_eq!(status, RunStatus::Success);
    let held = world.facts(&run).await;
    let held =
        held.iter().filter(|fact| matches!(fact, plue_flow::Fact::AttemptUnschedulable { .. }));
    assert_eq!(held.count(), 3, "the first one runs at once");
    world.check_rows(&run).await;
}

#[tokio::test]
async fn row_2_05_empty_pools_keep_steps_queued_until_cancelled() {
    let world = world(&[], &[]).await;
    let mut far = bash("far", "true");
    far.options.runner = Some("moon".to_owned());
    let run = world.submit(Plan::new("t", vec![far])).await;
    let handle = world.begin(&run).await;
    world.until(&run, "far", StepStatus::Queued).await;
    let why = "waits for a runner: asks for runner=`moon`; there is no runner of that pool";
    assert_eq!(world.why(&run, "far").await, why);
    handle.canceller().cancel("ann", false).await;
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Cancelled);
    assert_eq!(world.step(&run, "far").await, StepStatus::Cancelled);
    world.check_rows(&run).await;
}
