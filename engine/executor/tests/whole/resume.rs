//! Going on: retries of ended runs, and runs that another engine left behind.

use plue_flow::{RunStatus, StepStatus, input::Reopen};
use plue_plan::Plan;

use super::world::{World, after, bash};

#[tokio::test]
async fn retries_run_failed_steps_and_their_dependents_only() {
    let world = World::new().await;
    let steps = vec![
        bash("good", "echo x >> good.count"),
        after("bad", "test -e mended", &["good"]),
        after("last", "echo done", &["bad"]),
    ];
    let (run, status) = world.run(steps).await;
    assert_eq!(status, RunStatus::Failed);
    std::fs::write(world.work().join("mended"), "").unwrap();
    assert_eq!(world.retry(&run, Reopen::Failed).await.unwrap(), RunStatus::Success);
    let count = std::fs::read_to_string(world.work().join("good.count")).unwrap();
    assert_eq!(count, "x\n");
    world.check_rows(&run).await;
}

#[tokio::test]
async fn successful_runs_and_missing_steps_cannot_be_retried() {
    let world = World::new().await;
    let (run, status) = world.run(vec![bash("a", "true")]).await;
    assert_eq!(status, RunStatus::Success);
    let nothing_failed = world.retry(&run, Reopen::Failed).await;
    assert!(matches!(nothing_failed, Err(plue_executor::Error::Refused { .. })));
    let no_step = world.retry(&run, Reopen::From("b".into())).await;
    assert!(matches!(no_step, Err(plue_executor::Error::Refused { .. })));
    assert_eq!(world.retry(&run, Reopen::From("a".into())).await.unwrap(), RunStatus::Success);
}

#[tokio::test]
async fn unstarted_runs_are_driven_by_any_engine() {
    let world = World::new().await;
    let run = world.submit(Plan::new("test", vec![bash("a", "echo hi")])).await;
    let World { directory, store, engine, .. } = world;
    drop((store, engine));
    let world = World::at(directory).await;
    assert_eq!(world.drive(&run).await, RunStatus::Success);
    assert_eq!(world.step(&run, "a").await, StepStatus::Success);
}

#[tokio::test]
async fn two_drivers_of_one_run_cannot_be() {
    let world = World::new().await;
    let run = world.submit(Plan::new("test", vec![bash("a", "exec sleep 600")])).await;
    let secrets = std::sync::Arc::new(world.secrets.clone());
    let first =
        world.engine.drive(&run, secrets.clone(), plue_runtime::Stop::never()).await.unwrap();
    let second = world.engine.drive(&run, secrets, plue_runtime::Stop::never()).await;
    assert!(matches!(second, Err(plue_executor::Error::Busy { .. })));
    first.canceller().cancel("test", true).await;
    assert_eq!(first.wait().await.unwrap(), RunStatus::Cancelled);
}
