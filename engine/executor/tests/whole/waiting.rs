//! Approvals, timers, events and the plan's outputs, in real runs; answers come from another process.

use plue_executor::{
    Origin, RunHandle, Submission,
    answer::{AnswerError, decide},
    perform::child::Parent,
};
use plue_flow::{Decision, Fact, RunStatus, StepStatus};
use plue_plan::{
    Action, DurationText, Event, HashedPlan, Plan, RunId, Step, StepId, Trigger, Value,
    action::{Approval, OnTimeout, Wait},
};
use plue_runtime::Clock;
use serde_json::{Map, json};

use super::world::{World, after, bash, from_fork, in_repository};

fn approval(id: &str) -> Step {
    let approval = Approval {
        message: Some(Value::text("deploy?")),
        approvers: Vec::new(),
        quorum: 1,
        on_timeout: OnTimeout::Reject,
        fields: None,
    };
    Step::new(id, Action::Approval(approval))
}

fn wait(event: Option<Trigger>, duration: Option<&str>) -> Step {
    let event = event.map(Box::new);
    Step::new("w", Action::Wait(Wait { event, duration: duration.map(DurationText::new) }))
}

fn topic(when: Option<&str>) -> Step {
    let when = when.map(str::to_owned);
    wait(Some(Trigger::Event { topic: "built".to_owned(), when }), None)
}

pub(crate) fn yes(by: &str) -> Decision {
    Decision { by: by.to_owned(), approve: true, fields: Map::new(), comment: None }
}

async fn answer(world: &World, run: &RunId, decision: Decision) -> Result<(), AnswerError> {
    decide(&world.store, run, &StepId::new("ask"), decision, Clock::real().now()).await
}

#[tokio::test]
async fn row_0_04_an_approval_is_answered_while_the_engine_runs() {
    let world = World::new().await;
    let mut steps = vec![approval("ask"), after("ship", "echo shipped", &["ask"])];
    steps[1].options.env.insert("BY".to_owned(), Value::expr("steps.ask.output.by[0]"));
    let run = world.submit(Plan::new("t", steps)).await;
    let handle = world.begin(&run).await;
    world.until(&run, "ask", StepStatus::Waiting).await;
    assert_eq!(world.why(&run, "ask").await, "waits for a decision: deploy?");
    answer(&world, &run, yes("ann")).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
    assert_eq!(world.log(&run, "ship").await, "shipped\n");
    assert!(world.store.decisions().list(&run).await.unwrap().is_empty(), "the journal has it");
    world.check_rows(&run).await;
}

#[tokio::test]
async fn row_0_04_answers_given_without_an_engine_are_recovered() {
    let world = World::new().await;
    let run = world.submit(Plan::new("t", vec![approval("ask"), bash("b", "true")])).await;
    let secrets = std::sync::Arc::new(world.secrets.clone());
    let stop = plue_runtime::Stop::never();
    let handle = world.engine.drive_until_asked(&run, secrets, stop).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Waiting);
    assert!(!world.engine.is_driven(&run));
    answer(&world, &run, yes("ann")).await.unwrap();
    assert_eq!(world.step(&run, "ask").await, StepStatus::Waiting);
    let again = World::at(world.directory).await;
    let secrets = std::sync::Arc::new(again.secrets.clone());
    let stop = plue_runtime::Stop::never();
    // Also by an engine that does not wait for people.
    let handle = again.engine.drive_until_asked(&run, secrets, stop).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
    let asked = again.facts(&run).await;
    let asked = asked.iter().filter(|fact| matches!(fact, Fact::AttemptWaiting { .. }));
    assert_eq!(asked.count(), 1, "asked once");
    again.check_rows(&run).await;
}

#[tokio::test]
async fn invalid_answers_are_refused_with_a_reason() {
    let world = World::new().await;
    let mut ask = approval("ask");
    let Action::Approval(approval) = &mut ask.action else { unreachable!() };
    approval.approvers = vec!["ann".to_owned(), "bob".to_owned()];
    approval.quorum = 2;
    approval.fields = Some(json!({
        "type": "object", "required": ["env"], "properties": {"env": {"enum": ["dev", "prod"]}},
    }));
    let run = world.submit(Plan::new("t", vec![ask])).await;
    let early = answer(&world, &run, yes("ann")).await.unwrap_err();
    assert!(matches!(early, AnswerError::NotWaiting { .. }), "{early}");
    let handle = world.begin(&run).await;
    world.until(&run, "ask", StepStatus::Waiting).await;
    let with = |by: &str, env: &str| Decision {
        fields: Map::from_iter([("env".to_owned(), json!(env))]),
        ..yes(by)
    };
    let eve = answer(&world, &run, with("eve", "dev")).await.unwrap_err();
    assert_eq!(eve.to_string(), "only ann, bob may answer it");
    let empty = answer(&world, &run, yes("ann")).await.unwrap_err();
    assert!(empty.to_string().contains("\"env\" is a required property"), "{empty}");
    let wrong = answer(&world, &run, with("ann", "moon")).await.unwrap_err();
    assert!(wrong.to_string().contains("/env"), "{wrong}");
    answer(&world, &run, with("ann", "dev")).await.unwrap();
    let twice = answer(&world, &run, with("ann", "prod")).await.unwrap_err();
    assert!(matches!(twice, AnswerError::Already { .. }), "{twice}");
    answer(&world, &run, with("bob", "prod")).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
    assert_eq!(world.output(&run, "ask").await, json!({"env": "prod"}));
    let late = answer(&world, &run, with("bob", "prod")).await.unwrap_err();
    assert!(matches!(late, AnswerError::Ended(RunStatus::Success)), "{late}");
}

#[tokio::test]
async fn a_rejection_blocks_what_is_behind_it() {
    let world = World::new().await;
    let steps = vec![approval("ask"), after("ship", "true", &["ask"])];
    let run = world.submit(Plan::new("t", steps)).await;
    let handle = world.begin(&run).await;
    world.until(&run, "ask", StepStatus::Waiting).await;
    let comment = Some("not today".to_owned());
    answer(&world, &run, Decision { approve: false, comment, ..yes("ann") }).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Failed);
    assert_eq!(world.why(&run, "ask").await, "rejected by ann: not today");
    assert_eq!(world.step(&run, "ship").await, StepStatus::Skipped);
}

#[tokio::test]
async fn unanswered_approvals_end_at_their_timeout() {
    let world = World::new().await;
    let mut ask = approval("ask");
    ask.options.timeout = Some(DurationText::new("50ms"));
    let (run, status) = world.run(vec![ask]).await;
    assert_eq!(status, RunStatus::Failed);
    assert_eq!(world.step(&run, "ask").await, StepStatus::Failed);
    assert!(world.why(&run, "ask").await.contains("on_timeout"));
}

#[tokio::test]
async fn timed_waits_take_their_duration_and_no_slot() {
    let world = World::new().await;
    let mut plan = Plan::new("t", vec![wait(None, Some("300ms")), bash("b", "echo b")]);
    plan.max_parallel = Some(1);
    let run = world.submit(plan).await;
    assert_eq!(world.drive(&run).await, RunStatus::Success);
    let rows = world.store.runs().steps(&run).await.unwrap();
    let view = |id: &str| &rows.iter().find(|row| row.view.step.as_str() == id).unwrap().view;
    let (nap, other_step) = (view("w"), view("b"));
    let slept = nap.ended_at.unwrap().duration_since(nap.started_at.unwrap());
    assert!(slept.as_millis() >= 300, "{slept}");
    assert!(other_step.started_at.unwrap() < nap.ended_at.unwrap());
}

#[tokio::test]
async fn a_message_ends_the_wait_that_it_fits() {
    let world = World::new().await;
    let run = world.submit(Plan::new("t", vec![topic(Some("event.payload.n > 1"))])).await;
    let handle = world.begin(&run).await;
    world.until(&run, "w", StepStatus::Waiting).await;
    let now = || Clock::real().now();
    for n in 1..=2 {
        world.store.topics().emit("built", json!({"n": n}), "ann", now()).await.unwrap();
    }
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
    let output = world.output(&run, "w").await;
    assert_eq!((&output["data"]["n"], &output["by"]), (&json!(2), &json!("ann")));
}

#[tokio::test]
async fn messages_before_the_step_is_ready_count() {
    let world = World::new().await;
    let mut listen = topic(None);
    listen.depends_on = vec![StepId::new("first")];
    let hold = "touch here; until test -e go; do sleep 0.01; done";
    let run = world.submit(Plan::new("t", vec![bash("first", hold), listen])).await;
    let handle = world.begin(&run).await;
    world.until(&run, "first", StepStatus::Running).await;
    world.store.topics().emit("built", json!(1), "ann", Clock::real().now()).await.unwrap();
    std::fs::write(world.work().join("go"), "").unwrap();
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
}

#[tokio::test]
async fn the_end_of_another_workflow_is_waited_for() {
    let world = World::new().await;
    let trigger = Trigger::Workflow { name: "other".to_owned(), outcome: None };
    let run = world.submit(Plan::new("t", vec![wait(Some(trigger), None)])).await;
    let handle = world.begin(&run).await;
    world.until(&run, "w", StepStatus::Waiting).await;
    let other = world.submit(Plan::new("other", vec![bash("a", "exit 3")])).await;
    world.drive(&other).await;
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
    let expected = json!({"run": other, "status": "failed"});
    assert_eq!(world.output(&run, "w").await, expected);
}

/// A run that waits for the end of `other`.
async fn waits_for_other(world: &World, event: Event) -> (RunId, RunHandle) {
    let trigger = Trigger::Workflow { name: "other".to_owned(), outcome: None };
    let run = world.submit_for(Plan::new("t", vec![wait(Some(trigger), None)]), event).await;
    let handle = world.begin(&run).await;
    world.until(&run, "w", StepStatus::Waiting).await;
    (run, handle)
}

/// A run of a workflow that is named `other`, to its end.
async fn other(world: &World, event: Event) -> RunId {
    let run = world.submit_for(Plan::new("other", vec![bash("a", "true")]), event).await;
    assert_eq!(world.drive(&run).await, RunStatus::Success);
    run
}

#[tokio::test]
async fn untrusted_runs_and_children_end_no_workflow_wait() {
    let world = World::new().await;
    let shop = || in_repository("acme/shop");
    let (run, handle) = waits_for_other(&world, shop()).await;
    other(&world, from_fork(7)).await;
    let parent = Parent {
        run: run.clone(),
        step: StepId::new("w"),
        depth: 1,
        workflows: vec!["t".to_owned()],
        groups: Vec::new(),
        budgets: Vec::new(),
        token_budgets: Vec::new(),
    };
    let child = Submission {
        plan: HashedPlan::new(Plan::new("other", vec![bash("a", "true")])).unwrap(),
        source: ".plue.py".to_owned(),
        event: shop(),
        inputs: [].into(),
        origin: Origin { parent: Some(parent), ..Origin::at(world.work()) },
        only: Vec::new(),
        carried: Vec::new(),
    };
    let child = world.engine.submit(child).await.unwrap();
    assert_eq!(world.drive(&child).await, RunStatus::Success);
    let own = other(&world, shop()).await;
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
    assert_eq!(world.output(&run, "w").await["run"], json!(own));
}

#[tokio::test]
async fn fork_runs_wait_for_their_own_pull_request() {
    let world = World::new().await;
    let (run, handle) = waits_for_other(&world, from_fork(7)).await;
    other(&world, from_fork(8)).await;
    let same = other(&world, from_fork(7)).await;
    assert_eq!(handle.wait().await.unwrap(), RunStatus::Success);
    assert_eq!(world.output(&run, "w").await["run"], json!(same));
}

#[tokio::test]
async fn plan_outputs_are_stored_with_the_run() {
    let world = World::new().await;
    let mut plan = Plan::new("t", vec![bash("a", r#"echo n=3 > "$PLUE_OUTPUT""#)]);
    plan.outputs.insert("n".to_owned(), Value::expr("steps.a.output.n"));
    plan.outputs.insert("t".to_owned(), Value::text("x"));
    let run = world.submit(plan).await;
    assert_eq!(world.drive(&run).await, RunStatus::Success);
    let loaded = world.engine.load(&run).await.unwrap();
    assert_eq!(loaded.run.outputs(), Some(&json!({"n": "3", "t": "x"})));
}
