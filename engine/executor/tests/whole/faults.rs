//! Runners that do not do their part.

use std::{os::unix::fs::PermissionsExt as _, path::PathBuf, sync::Arc};

use plue_flow::{Fact, RunStatus, fact::Outcome};
use plue_plan::Plan;
use plue_runtime::Stop;

use super::world::{World, bash, runner_binary};

/// A program that stands in for the runner.
fn instead(world: &World, text: &str) -> PathBuf {
    let path = world.directory.path().join("runner.sh");
    std::fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn immediately_dying_runners_end_the_command_only() {
    let world = World::new().await;
    let run = world.submit(Plan::new("test", vec![bash("a", "echo hi")])).await;
    let broken = instead(&world, "echo 'no such library' >&2; exit 127");
    let World { directory, store, engine, .. } = world;
    drop((store, engine));
    let world = World::with_runner(directory, broken).await;
    let secrets = Arc::new(world.secrets.clone());
    let handle = world.engine.drive(&run, secrets, Stop::never()).await.unwrap();
    let error = handle.wait().await.unwrap_err();
    let plue_executor::Error::Pool(error) = error else { panic!("{error}") };
    assert_eq!(error.to_string(), "the runner died 3 times before it was ready: no such library");
    let World { directory, store, engine, .. } = world;
    drop((store, engine));
    // Mended, the run goes on.
    let world = World::at(directory).await;
    assert_eq!(world.drive(&run).await, RunStatus::Success);
    world.check_rows(&run).await;
}

#[tokio::test]
async fn unstartable_attempts_fail_after_five_tries() {
    let world = World::new().await;
    let run = world.submit(Plan::new("test", vec![bash("a", "echo hi")])).await;
    // So few descriptors that a step gets no pipes.
    let poor = format!("ulimit -n 15; exec {} \"$@\"", runner_binary().display());
    let poor = instead(&world, &poor);
    let World { directory, store, engine, .. } = world;
    drop((store, engine));
    let world = World::with_runner(directory, poor).await;
    assert_eq!(world.drive(&run).await, RunStatus::Failed);
    let facts = world.facts(&run).await;
    let requeued = facts.iter().filter(|fact| matches!(fact, Fact::AttemptRequeued { .. }));
    assert_eq!(requeued.count(), 4);
    let refused = facts.iter().any(|fact| {
        let Fact::AttemptEnded { outcome: Outcome::Refused { message }, .. } = fact else {
            return false;
        };
        message.starts_with("no process could be started, 5 times: ")
    });
    assert!(refused, "{facts:#?}");
    world.check_rows(&run).await;
}
