//! Concurrency groups of runs.

use std::sync::Arc;

use jiff::Timestamp;
use plue_flow::{RunStatus, StepStatus, input::Reopen};
use plue_plan::{Plan, RunId, Value, policy::Concurrency};

use plue_runtime::{Clock, Phase, Shutdown, Stop};
use plue_store::GroupMember;

use super::world::{World, bash, from_fork, in_repository};

fn grouped(run: &str, cancel_in_progress: bool) -> Plan {
    let mut plan = Plan::new("t", vec![bash("a", run)]);
    let group = Value::expr("'deploy-' + event.type");
    plan.concurrency = Some(Concurrency { group, cancel_in_progress });
    plan
}

/// Fails if another one of its kind runs at the same time.
const ALONE: &str = "mkdir lock; echo \"$PLUE_RUN_ID\" >> order; sleep 0.05; rmdir lock";

async fn member(world: &World, run: &RunId) -> Option<GroupMember> {
    let members = world.store.groups().members("deploy-manual").await.unwrap();
    members.into_iter().find(|member| member.run == *run)
}

/// Waits until a run has asked for its turn at least once since now. `begins` is about to begin all the
/// while, however long that takes.
async fn await_asks(world: &World, run: &RunId, begins: Option<&RunId>) {
    let mut seen = Vec::new();
    // It is seen when it was made, when it enters, and each time it asks.
    while seen.len() < 4 {
        if let Some(begins) = begins {
            world.store.groups().refresh(begins, Clock::real().now()).await.unwrap();
        }
        let now = member(world, run).await.map(|member| member.seen_at);
        if !seen.contains(&now) {
            seen.push(now);
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn group_runs_keep_their_order_without_overlap() {
    let world = World::new().await;
    let mut runs: Vec<RunId> = Vec::new();
    for _ in 0..4 {
        runs.push(world.submit(grouped(ALONE, false)).await);
    }
    let (mut handles, mut order) = (Vec::new(), String::new());
    for run in &runs {
        handles.push(world.begin(run).await);
        order.push_str(&format!("{run}\n"));
    }
    for handle in handles {
        assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
    }
    assert_eq!(std::fs::read_to_string(world.work().join("order")).unwrap(), order);
    assert!(world.store.groups().members("deploy-manual").await.unwrap().is_empty());
}

#[tokio::test]
async fn late_starters_keep_their_place_in_the_group() {
    let world = World::new().await;
    let first = world.submit(grouped(ALONE, false)).await;
    let second = world.submit(grouped(ALONE, false)).await;
    world.store.groups().refresh(&first, Clock::real().now()).await.unwrap();
    let two = world.begin(&second).await;
    await_asks(&world, &second, Some(&first)).await;
    assert_eq!(world.drive(&first).await, RunStatus::Success);
    assert_eq!(two.wait().await.unwrap(), RunStatus::Success);
    let order = std::fs::read_to_string(world.work().join("order")).unwrap();
    assert_eq!(order, format!("{first}\n{second}\n"));
}

#[tokio::test]
async fn abandoned_runs_do_not_block_their_group() {
    let world = World::new().await;
    let first = world.submit(grouped(ALONE, false)).await;
    let second = world.submit(grouped(ALONE, false)).await;
    // It was asked for long ago.
    world.store.groups().refresh(&first, Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!(world.drive(&second).await, RunStatus::Success);
    assert_eq!(world.drive(&first).await, RunStatus::Success);
    let order = std::fs::read_to_string(world.work().join("order")).unwrap();
    assert_eq!(order, format!("{second}\n{first}\n"));
}

#[tokio::test]
async fn superseded_unstarted_runs_do_nothing() {
    let world = World::new().await;
    let first = world.submit(grouped("echo first > order", true)).await;
    let second = world.submit(grouped("true", true)).await;
    let two = world.begin(&second).await;
    while world.store.cancels().get(&first).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.drive(&first).await, RunStatus::Cancelled);
    assert_eq!(two.wait().await.unwrap(), RunStatus::Success);
    assert!(!world.work().join("order").exists());
}

#[tokio::test]
async fn retried_runs_wait_for_the_current_turn() {
    let world = World::new().await;
    let first = world.submit(grouped("test -e again || exit 1; mkdir lock", false)).await;
    assert_eq!(world.drive(&first).await, RunStatus::Failed);
    std::fs::write(world.work().join("again"), "").unwrap();
    let held = "mkdir lock; until test -e go; do sleep 0.01; done; rmdir lock";
    let second = world.submit(grouped(held, false)).await;
    let two = world.begin(&second).await;
    while !world.work().join("lock").exists() {
        tokio::task::yield_now().await;
    }
    let opened = async {
        // It left the group when it ended, and asks for its turn as soon as it is back.
        while world.store.groups().of_run(&first).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        std::fs::write(world.work().join("go"), "").unwrap();
    };
    let (retried, ()) = tokio::join!(world.retry(&first, Reopen::Failed), opened);
    assert_eq!(retried.unwrap(), RunStatus::Success);
    assert_eq!(two.wait().await.unwrap(), RunStatus::Success);
}

#[tokio::test]
async fn newer_runs_cancel_running_ones_if_configured() {
    let world = World::new().await;
    let first = world.submit(grouped("exec sleep 600", true)).await;
    let handle = world.begin(&first).await;
    world.until(&first, "a", StepStatus::Running).await;
    let second = world.submit(grouped("true", true)).await;
    assert_eq!(world.drive(&second).await, RunStatus::Success);
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Cancelled);
    let why = world.store.runs().get(&first).await.unwrap().unwrap().view.reason.unwrap();
    assert!(why.contains(second.as_str()), "{why}");
}

#[tokio::test]
async fn runs_waiting_for_their_turn_are_cancellable() {
    let world = World::new().await;
    let first = world.submit(grouped("exec sleep 600", false)).await;
    let one = world.begin(&first).await;
    world.until(&first, "a", StepStatus::Running).await;
    let second = world.submit(grouped("true", false)).await;
    let two = world.begin(&second).await;
    two.canceller().cancel("test", false).await;
    assert_eq!(two.wait().await.unwrap(), RunStatus::Cancelled);
    one.canceller().cancel("test", true).await;
    assert_eq!(one.wait().await.unwrap(), RunStatus::Cancelled);
}

#[tokio::test]
async fn turns_of_dead_engines_pass_on_without_overlap() {
    let world = World::new().await;
    let first = world
        .submit(grouped("echo $$ > pid; echo first >> order; echo begun; exec sleep 600", false))
        .await;
    let (shutdown, stop) = Shutdown::new();
    let secrets = Arc::new(world.secrets.clone());
    let handle = world.engine.drive(&first, secrets, stop).await.unwrap();
    world.until(&first, "a", StepStatus::Running).await;
    let mut changes = world.store.changes_of(&first);
    while world.log(&first, "a").await != "begun\n" {
        changes.changed().await.unwrap();
    }
    shutdown.advance(Phase::Aborting);
    handle.wait().await.unwrap();
    let again = World::at(world.directory).await;
    let second =
        again.submit(grouped("test -e /proc/$(cat pid)/stat && ! grep -q ') Z' /proc/$(cat pid)/stat && exit 1; echo second >> order", false)).await;
    assert_eq!(again.drive(&second).await, RunStatus::Success, "{}", again.log(&second, "a").await);
    let order = std::fs::read_to_string(again.work().join("order")).unwrap();
    assert_eq!(order, "first\nsecond\n");
}

#[tokio::test]
async fn clock_changes_take_no_turn_from_live_runs() {
    let world = World::new().await;
    let gate = "until test -e go; do sleep 0.01; done; echo first >> order";
    let first = world.submit(grouped(gate, false)).await;
    let one = world.begin(&first).await;
    world.until(&first, "a", StepStatus::Running).await;
    // By the clock of the next engine, its last heartbeat was half a century ago.
    world.store.groups().refresh(&first, Timestamp::UNIX_EPOCH).await.unwrap();
    let second = world.submit(grouped("echo second >> order", false)).await;
    let two = world.begin(&second).await;
    await_asks(&world, &second, None).await;
    assert!(member(&world, &second).await.is_some_and(|member| member.turn_at.is_none()));
    std::fs::write(world.work().join("go"), "").unwrap();
    assert_eq!(one.wait().await.unwrap(), RunStatus::Success);
    assert_eq!(two.wait().await.unwrap(), RunStatus::Success);
    let order = std::fs::read_to_string(world.work().join("order")).unwrap();
    assert_eq!(order, "first\nsecond\n");
}

#[tokio::test]
async fn groups_of_one_name_are_per_repository() {
    let world = World::new().await;
    let shop = || in_repository("acme/shop");
    let first = world.submit_for(grouped("exec sleep 600", true), shop()).await;
    let going = world.begin(&first).await;
    world.until(&first, "a", StepStatus::Running).await;
    let other = world.submit_for(grouped("true", true), in_repository("acme/site")).await;
    assert_eq!(world.drive(&other).await, RunStatus::Success);
    assert_eq!(world.step(&first, "a").await, StepStatus::Running);
    let key = world.store.groups().of_run(&first).await.unwrap().unwrap();
    assert_eq!(plue_store::group_name(Some("acme/shop"), &key), "deploy-manual");
    assert_eq!(plue_store::group_name(None, "deploy-manual"), "deploy-manual");
    let second = world.submit_for(grouped("true", true), shop()).await;
    assert_eq!(world.drive(&second).await, RunStatus::Success);
    assert_eq!(going.wait().await.unwrap(), RunStatus::Cancelled);
}

#[tokio::test]
async fn untrusted_runs_wait_only_for_their_pull_request() {
    let mut world = World::new().await;
    world.untrusted = true;
    let run = world.submit_for(grouped("true", true), from_fork(7)).await;
    let handle = world.begin(&run).await;
    let mut changes = world.store.changes_of(&run);
    while world.why(&run, "a").await.is_empty() {
        changes.changed().await.unwrap();
    }
    let key = world.store.groups().of_run(&run).await.unwrap().unwrap();
    let name = plue_store::group_name(Some("acme/shop"), &key);
    assert_eq!(name, "pull request 7 of acme/shop, from a fork: deploy-pull_request");
    assert_ne!(name, key);
    handle.canceller().cancel("test", true).await;
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Cancelled);
}

#[tokio::test]
async fn untrusted_runs_never_touch_turns_of_trusted_ones() {
    let world = World::new().await;
    let deploys = |run: &str| {
        let mut plan = grouped(run, true);
        plan.concurrency.as_mut().unwrap().group = Value::text("deploys");
        plan
    };
    let trusted = || in_repository("acme/shop");
    let first = world.submit_for(deploys("exec sleep 600"), trusted()).await;
    let going = world.begin(&first).await;
    world.until(&first, "a", StepStatus::Running).await;
    // The sandbox is switched off: only the event shows that the commit is a fork's.
    let fork = world.submit_for(deploys("exec sleep 600"), from_fork(7)).await;
    let is_separate = async |run: &RunId| {
        let key = world.store.groups().of_run(run).await.unwrap().unwrap();
        assert!(key.contains("from a fork: deploys"), "{key}");
        assert_eq!(world.step(&first, "a").await, StepStatus::Running);
    };
    is_separate(&fork).await;
    let handle = world.begin(&fork).await;
    world.until(&fork, "a", StepStatus::Running).await;
    is_separate(&fork).await;
    handle.canceller().cancel("test", true).await;
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Cancelled);
    let (secrets, stop) = (Arc::new(world.secrets.clone()), Stop::never());
    let again = world.engine.reopen(&fork, ("test", Reopen::Failed), secrets, stop).await.unwrap();
    world.until(&fork, "a", StepStatus::Running).await;
    is_separate(&fork).await;
    // A trusted run waits for no fork, and ends only its own kind.
    let second = world.submit_for(deploys("true"), trusted()).await;
    assert_eq!(world.drive(&second).await, RunStatus::Success);
    assert_eq!(going.wait().await.unwrap(), RunStatus::Cancelled);
    assert_eq!(world.step(&fork, "a").await, StepStatus::Running);
    again.canceller().cancel("test", true).await;
    assert_eq!(again.wait().await.unwrap(), RunStatus::Cancelled);
}

#[tokio::test]
async fn runs_in_bare_groups_move_to_repository_groups() {
    let world = World::new().await;
    let gate = "until test -e go; do sleep 0.01; done";
    let run = world.submit_for(grouped(gate, false), in_repository("acme/shop")).await;
    let now = Timestamp::UNIX_EPOCH;
    world.store.groups().join(&run, "deploy-manual", now, now).await.unwrap();
    let handle = world.begin(&run).await;
    world.until(&run, "a", StepStatus::Running).await;
    let key = world.store.groups().of_run(&run).await.unwrap();
    assert_eq!(key.as_deref(), Some("acme/shop: deploy-manual"));
    std::fs::write(world.work().join("go"), "").unwrap();
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
}
