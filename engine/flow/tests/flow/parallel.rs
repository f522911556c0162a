//! Order and parallelism of steps.

use plue_flow::{
    Effect, Run, RunStatus, StepStatus,
    fact::{Carried, Reason},
};
use plue_plan::RunId;
use serde_json::json;

use crate::player::{Player, id};

#[test]
fn independent_steps_run_concurrently_up_to_max_parallel() {
    let steps = json!([{"id": "a"}, {"id": "b"}, {"id": "c"}, {"id": "d"}]);
    let mut player = Player::start(steps, json!({"max_parallel": 2}));
    assert_eq!(player.working(), ["a", "b"]);
    player.pass(&["b"]);
    assert_eq!(player.working(), ["a", "c"]);
    player.pass(&["c", "a", "d"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn ready_steps_start_in_plan_order() {
    let mut player = Player::start(
        json!([
            {"id": "z", "depends_on": ["root"]},
            {"id": "y", "depends_on": ["root"]},
            {"id": "x", "depends_on": ["root"]},
            {"id": "root"},
        ]),
        json!({"max_parallel": 1}),
    );
    player.begin("root");
    let mut order = Vec::new();
    player.end("root", plue_flow::fact::Outcome::Success);
    while let Some(step) = player.working().pop() {
        player.pass(&[&step]);
        order.push(step);
    }
    assert_eq!(order, ["z", "y", "x"]);
}

#[test]
fn a_step_waits_for_all_it_depends_on() {
    let mut player = Player::start(
        json!([{"id": "a"}, {"id": "b"}, {"id": "c", "depends_on": ["a", "b"]}]),
        json!({}),
    );
    player.pass(&["a"]);
    assert_eq!(player.working(), ["b"]);
    player.begin("b");
    let transition = player.end("b", plue_flow::fact::Outcome::Success);
    let attempt = player.attempt("c");
    let (step, visit, number) = (id("c"), 1, 1);
    let perform = Effect::Perform { step, visit, number, attempt };
    assert_eq!(transition.effects, [perform]);
    assert_eq!(transition.touched, [id("b"), id("c")]);
    assert_eq!(player.attempt("c").as_str(), "r:1:c:1:1");
}

#[test]
fn a_plan_without_steps_ends_at_once() {
    let player = Player::start(json!([]), json!({}));
    assert_eq!(player.run.status(), RunStatus::Success);
}

#[test]
fn max_parallel_of_zero_still_runs_one() {
    let plan = crate::player::plan(json!([{"id": "a"}, {"id": "b"}]), json!({"max_parallel": 0}));
    let mut run = Run::new(RunId::new("r"), plan);
    let now = jiff::Timestamp::UNIX_EPOCH;
    let first = run.create(crate::player::hash(), Vec::new(), Vec::new());
    run.evolve(now, &first).unwrap();
    let transition = run.apply(now, plue_flow::Input::Start).unwrap();
    assert_eq!(transition.effects.len(), 1);
}

#[test]
fn selections_run_alone_without_waiting_for_others() {
    let steps = json!([
        {"id": "a"},
        {"id": "b", "depends_on": ["a"]},
        {"id": "c", "depends_on": ["b"]},
    ]);
    let plan = crate::player::plan(steps, json!({}));
    let mut player = Player::create(plan.clone(), &["b"]);
    player.feed(plue_flow::Input::Start);
    assert_eq!(player.statuses(), "a=skipped b=queued c=skipped");
    assert_eq!(player.reason("a"), Some(Reason::NotSelected));
    player.pass(&["b"]);
    assert_eq!(player.run.status(), RunStatus::Success);

    let from = player.run.descendants(&id("b"));
    assert_eq!(from, [id("b"), id("c")]);
    let mut player = Player::create(plan, &["b", "c"]);
    player.feed(plue_flow::Input::Start);
    player.pass(&["b", "c"]);
    assert_eq!(player.statuses(), "a=skipped b=success c=success");
}

#[test]
fn carried_outputs_complete_the_selection() {
    let steps = json!([{"id": "a"}, {"id": "b", "depends_on": ["a"]}]);
    let mut run = Run::new(RunId::new("r"), crate::player::plan(steps, json!({})));
    let now = jiff::Timestamp::UNIX_EPOCH;
    let earlier = RunId::new("earlier");
    let carried = |step| Carried { step: id(step), run: earlier.clone(), output: json!({"n": 1}) };
    let of_selected = run.create(crate::player::hash(), vec![id("b")], vec![carried("b")]);
    assert!(run.clone().evolve(now, &of_selected).is_err());
    let first = run.create(crate::player::hash(), vec![id("b")], vec![carried("a")]);
    let text = serde_json::to_string(&first).unwrap();
    run.evolve(now, &serde_json::from_str(&text).unwrap()).unwrap();
    run.apply(now, plue_flow::Input::Start).unwrap();
    let left_out = run.step_view(&id("a")).unwrap();
    assert_eq!(left_out.status, StepStatus::Skipped);
    assert_eq!(left_out.reason, Some(Reason::Carried { run: earlier }));
    assert_eq!(left_out.output, json!({"n": 1}));
    assert_eq!(run.step_view(&id("b")).unwrap().status, StepStatus::Queued);
}

#[test]
fn selected_steps_wait_for_first_hooks() {
    let steps = json!([{"id": "a"}, {"id": "b", "depends_on": ["a"]}]);
    let hooks = json!({"hooks": {"on_start": [{"id": "first"}]}});
    let mut player = Player::create(crate::player::plan(steps, hooks), &["b"]);
    player.feed(plue_flow::Input::Start);
    assert_eq!(player.working(), ["first"]);
    player.pass(&["first", "b"]);
    assert_eq!(player.run.status(), RunStatus::Success);
}
