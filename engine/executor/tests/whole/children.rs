//! `workflow` steps: plans that steps put out, and plans by name.

use plue_flow::{Fact, RunStatus, StepStatus};
use plue_plan::{
    Action, HashedPlan, Plan, RunId, Step, StepId, Value, action::Workflow, policy::Concurrency,
};
use plue_runtime::{Phase, Shutdown};
use serde_json::{Value as Json, json};

use super::world::{World, after, bash, from_fork};

/// A step that puts a plan out, and one that runs it.
fn dynamic(plan: &Json) -> Vec<Step> {
    let emit = bash("plan", "cat > \"$PLUE_OUTPUT\" <<'EOF'\n@\nEOF");
    let mut emit = emit;
    let Action::Bash(script) = &mut emit.action else { unreachable!() };
    script.run = script.run.replace('@', &plan.to_string());
    let workflow = Workflow {
        workflow: None,
        plan: Some(Value::expr("steps.plan.output")),
        inputs: [("who".to_owned(), Value::text("$(touch pwned)"))].into(),
    };
    let mut sub = Step::new("sub", Action::Workflow(workflow));
    sub.depends_on = vec![StepId::new("plan")];
    let mut behind = after("behind", r#"printf %s "$GOT""#, &["sub"]);
    behind.options.env.insert("GOT".to_owned(), Value::expr("steps.sub.output.said"));
    vec![emit, sub, behind]
}

fn child() -> Json {
    json!({
        "version": 1, "name": "emitted",
        "inputs": {"who": {"required": true}, "n": {"type": "integer", "default": 2}},
        "outputs": {"said": {"$expr": "steps.say.output.text"}},
        "steps": [{"id": "say", "kind": "bash", "env": {"WHO": {"$expr": "inputs.who"}},
                   "run": "printf 'text=hello %s\\n' \"$WHO\" > \"$PLUE_OUTPUT\""}],
    })
}

/// The child run, once its first step is stored.
async fn born(world: &World, run: &RunId) -> RunId {
    let mut changes = world.store.changes();
    loop {
        let facts = world.facts(run).await;
        if let Some(child) = find(&facts)
            && world.store.runs().get(&child).await.unwrap().is_some()
        {
            return child;
        }
        changes.changed().await.unwrap();
    }
}

fn child_of(facts: &[Fact]) -> RunId {
    find(facts).unwrap()
}

fn find(facts: &[Fact]) -> Option<RunId> {
    facts.iter().find_map(|fact| match fact {
        Fact::ChildStarted { child, .. } => Some(child.run.clone()),
        _ => None,
    })
}

#[tokio::test]
async fn row_3_17_plans_of_steps_are_journaled_and_run() {
    let world = World::new().await;
    let (run, status) = world.run(dynamic(&child())).await;
    assert_eq!(status, RunStatus::Success, "{}", world.why(&run, "sub").await);
    let facts = world.facts(&run).await;
    let plan: Plan = serde_json::from_value(child()).unwrap();
    let hash = HashedPlan::new(plan).unwrap().hash;
    let reported = facts
        .iter()
        .any(|fact| matches!(fact, Fact::ChildStarted { child, .. } if child.plan == hash));
    assert!(reported, "{facts:?}");
    assert_eq!(world.log(&run, "behind").await, "hello $(touch pwned)");
    assert!(!world.work().join("pwned").exists());
    let sub = child_of(&facts);
    let loaded = world.engine.load(&sub).await.unwrap();
    assert_eq!(loaded.row.plan, hash);
    assert_eq!(loaded.origin.parent.unwrap().run, run);
    assert_eq!(loaded.source.inputs, json!({"who": "$(touch pwned)", "n": 2}));
    world.check_rows(&run).await;
    world.check_rows(&sub).await;
}

#[tokio::test]
async fn plans_made_at_run_time_are_validated() {
    let world = World::new().await;
    let mut bad = child();
    bad["steps"][0]["depends_on"] = json!(["nobody"]);
    let (run, status) = world.run(dynamic(&bad)).await;
    assert_eq!(status, RunStatus::Failed);
    assert!(world.why(&run, "sub").await.contains("PLUE-P"), "{}", world.why(&run, "sub").await);
    let mut greedy = child();
    greedy["inputs"]["more"] = json!({"required": true});
    let (run, _) = world.run(dynamic(&greedy)).await;
    assert!(world.why(&run, "sub").await.contains("`more` is required"));
}

#[tokio::test]
async fn a_failed_child_fails_its_step() {
    let world = World::new().await;
    let mut bad = child();
    bad["steps"][0]["run"] = json!("exit 3");
    let (run, status) = world.run(dynamic(&bad)).await;
    assert_eq!(status, RunStatus::Failed);
    let why = world.why(&run, "sub").await;
    assert!(why.starts_with("child run ") && why.ends_with("failed: step say failed"), "{why}");
    assert_eq!(world.step(&run, "behind").await, StepStatus::Skipped);
}

#[tokio::test]
async fn children_share_the_turn_of_their_parents_group() {
    let world = World::new().await;
    let mut plan = child();
    plan["concurrency"] = json!({"group": "deploy", "cancel_in_progress": true});
    let mut parent = Plan::new("test", dynamic(&plan));
    let group = Value::text("deploy");
    parent.concurrency = Some(Concurrency { group, cancel_in_progress: false });
    let run = world.submit(parent).await;
    assert_eq!(world.drive(&run).await, RunStatus::Success, "{}", world.why(&run, "sub").await);
    assert!(world.store.groups().members("deploy").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cancel_reaches_the_child() {
    let world = World::new().await;
    let mut long = child();
    long["steps"][0]["run"] = json!("touch begun; exec sleep 600");
    let run = world.submit(Plan::new("t", dynamic(&long))).await;
    let handle = world.begin(&run).await;
    world.until(&run, "sub", StepStatus::Running).await;
    let sub = born(&world, &run).await;
    world.until(&sub, "say", StepStatus::Running).await;
    handle.canceller().cancel("test", false).await;
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Cancelled);
    let row = world.store.runs().get(&sub).await.unwrap().unwrap();
    assert_eq!(row.view.status, RunStatus::Cancelled);
}

#[tokio::test]
async fn children_resume_with_their_parent_after_engine_death() {
    let world = World::new().await;
    let mut slow = child();
    let wait = "until test -e go; do sleep 0.01; done; echo text=late > \"$PLUE_OUTPUT\"";
    slow["steps"][0]["run"] = json!(wait);
    let run = world.submit(Plan::new("t", dynamic(&slow))).await;
    let (shutdown, stop) = Shutdown::new();
    let secrets = std::sync::Arc::new(world.secrets.clone());
    let handle = world.engine.drive(&run, secrets, stop).await.unwrap();
    world.until(&run, "sub", StepStatus::Running).await;
    let sub = born(&world, &run).await;
    shutdown.advance(Phase::Aborting);
    assert!(!handle.wait().await.unwrap().is_terminal());
    std::fs::write(world.work().join("go"), "").unwrap();
    let again = World::at(world.directory).await;
    assert_eq!(again.drive(&run).await, RunStatus::Success);
    let children = again.facts(&run).await;
    let children = children.iter().filter(|fact| matches!(fact, Fact::ChildStarted { .. }));
    assert_eq!(children.count(), 1, "one child, whoever follows it");
    assert_eq!(again.log(&run, "behind").await, "late");
    again.check_rows(&sub).await;
}

const NOT_FOR_FORKS: &str = "a change from a fork starts no other workflows";

#[tokio::test]
async fn forks_start_no_workflows_even_without_a_sandbox() {
    let world = World::new().await;
    let run = world.submit_for(Plan::new("t", dynamic(&child())), from_fork(7)).await;
    assert_eq!(world.drive(&run).await, RunStatus::Failed);
    assert_eq!(world.step(&run, "plan").await, StepStatus::Success);
    let why = world.why(&run, "sub").await;
    assert!(why.contains(NOT_FOR_FORKS), "{why}");
    assert_eq!(find(&world.facts(&run).await), None);
}

#[tokio::test]
async fn untrusted_runs_start_no_workflow_by_name() {
    let world = World::untrusted(None).await;
    let workflow = Workflow { workflow: Some("other".to_owned()), plan: None, inputs: [].into() };
    let (run, status) = world.run(vec![Step::new("sub", Action::Workflow(workflow))]).await;
    assert_eq!(status, RunStatus::Failed);
    let why = world.why(&run, "sub").await;
    assert!(why.contains(NOT_FOR_FORKS), "{why}");
    assert_eq!(find(&world.facts(&run).await), None);
}
