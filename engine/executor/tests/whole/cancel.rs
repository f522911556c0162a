//! Stopping a run: from its own process, and through the store.

use std::{sync::Arc, time::Duration};

use plue_executor::perform::environment::GivenSecrets;
use plue_flow::{RunStatus, StepStatus};
use plue_plan::Plan;
use plue_runtime::{Clock, Stop};
use plue_store::CancelRequest;

use super::world::{World, after, bash};

/// Waits until a file is there: the step under test made it.
async fn appears(path: &std::path::Path) {
    while !path.exists() {
        Clock::real().sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn cancelled_runs_stop_and_start_no_steps() {
    let world = World::new().await;
    let steps = vec![
        bash("long", "trap 'echo stopping; exit 1' TERM; touch up; sleep 600 & wait"),
        after("next", "touch next", &["long"]),
    ];
    let run = world.submit(Plan::new("test", steps)).await;
    let secrets = Arc::new(GivenSecrets::default());
    let handle = world.engine.drive(&run, secrets, Stop::never()).await.unwrap();
    appears(&world.work().join("up")).await;
    handle.canceller().cancel("test", false).await;
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Cancelled);
    assert_eq!(world.step(&run, "long").await, StepStatus::Cancelled);
    assert_eq!(world.step(&run, "next").await, StepStatus::Cancelled);
    assert_eq!(world.log(&run, "long").await, "stopping\n");
    assert!(!world.work().join("next").exists());
    world.check_rows(&run).await;
}

#[tokio::test]
async fn cancel_requests_of_other_processes_are_obeyed_once() {
    let world = World::new().await;
    let run = world.submit(Plan::new("test", vec![bash("long", "touch up; exec sleep 600")])).await;
    let secrets = Arc::new(GivenSecrets::default());
    let handle = world.engine.drive(&run, secrets, Stop::never()).await.unwrap();
    appears(&world.work().join("up")).await;
    let request = CancelRequest { by: "somebody".to_owned(), kill: true };
    world.store.cancels().request(&run, request, Clock::real().now()).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Cancelled);
    assert_eq!(world.store.cancels().get(&run).await.unwrap(), None);
}

/// Steps end all the time, more often than requests are looked for.
#[tokio::test]
async fn cancel_requests_reach_busy_runs() {
    let world = World::new().await;
    let steps = (0..400).map(|n| bash(&format!("s{n}"), "touch up; sleep 0.05")).collect();
    let mut plan = Plan::new("test", steps);
    plan.max_parallel = Some(4);
    let run = world.submit(plan).await;
    let secrets = Arc::new(GivenSecrets::default());
    let handle = world.engine.drive(&run, secrets, Stop::never()).await.unwrap();
    appears(&world.work().join("up")).await;
    let request = CancelRequest { by: "somebody".to_owned(), kill: true };
    world.store.cancels().request(&run, request, Clock::real().now()).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Cancelled);
}
