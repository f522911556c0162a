//! `plue plan --goal`: from the answer of a model, recorded or asked for, to a workflow that was approved.

use serde_json::json;

use crate::{
    scripted::Scripted,
    support::{Bench, CliOutput},
};

const GOAL: &str = "Build a \"portfolio\" website";

/// A planner's answer: prose, a first attempt, and the final workflow.
const ANSWER: &str = "I need three workers.

```yaml
name: wrong
tasks: []
```

Better:

```yaml
name: Portfolio site
tasks:
  - id: specs
    agent: product_manager
    parameters: {task: Write the specification}
  - id: code
    agent: coder
    dependencies: [specs]
    parameters: {task: Implement it, specs: \"${specs.output}\"}
  - id: review
    agent: reviewer
    dependencies: [code]
    parameters: {task: Review it}
    on_failure: {goto: code, max_visits: 3}
```
";

/// As the Messages API records it.
fn transcript(text: &str) -> String {
    let asked = json!({"role": "user", "content": "Plan this: ```yaml\nname: asked\n```"});
    let answer = json!({"role": "assistant", "content": [{"type": "text", "text": text}]});
    format!("{asked}\n{answer}\n")
}

#[test]
fn row_3_15_goals_become_workflows_that_wait_for_approval() {
    let bench = Bench::new();
    bench.write("answer.jsonl", transcript(ANSWER));
    let plan = |more: &[&str]| {
        bench.plue(&[&["plan", "--goal", GOAL, "--answer", "answer.jsonl"], more].concat())
    };
    // Shown, and nothing written before an approval.
    let shown = plan(&[]).ends(6);
    shown.shows(&["Portfolio site", "step specs", "step review", "a new workflow"]);
    shown.reports(&["nothing is written", "--approve sha256:"]);
    let file = bench.repo().join("portfolio-site.plue.yaml");
    assert!(!file.exists());
    bench.plue(&["list"]).ends(0).reports(&["there is no workflow"]);
    assert_eq!(plan(&[]).ends(6).stdout, shown.stdout, "the same answer is the same plan");
    let hash = shown.stderr.rsplit("--approve ").next().unwrap().trim();
    // Only what was shown can be approved.
    let other = format!("sha256:{}", "0".repeat(64));
    plan(&["--approve", &other]).ends(2).reports(&["was approved, but the answer is"]);
    assert!(!file.exists());
    plan(&["--approve", hash]).ends(0).reports(&["plue run portfolio-site.plue.yaml"]);
    let planned = bench.plue(&["plan", "portfolio-site"]).ends(0);
    planned.shows(&[hash]);
    let ir = bench.plue(&["plan", "portfolio-site", "--output", "json"]).ends(0).json();
    assert_eq!(ir["goal"], GOAL);
    let roles: Vec<_> = ir["steps"].as_array().unwrap().iter().map(|step| &step["role"]).collect();
    assert_eq!(json!(roles), json!(["product_manager", "coder", "reviewer"]));
    // Nothing ran.
    bench.plue(&["runs", "--output", "json"]).ends(0).shows(&["\"runs\": []"]);

    // A second thought is a difference, which needs its own approval.
    bench.write("answer.jsonl", transcript(&ANSWER.replace("Review it", "Review it twice")));
    let changed = plan(&[]).ends(6);
    changed.shows(&["step review", "Review it twice"]);
    assert!(!changed.stdout.contains("step specs\n"), "{}", changed.stdout);
    plan(&["--approve", hash]).ends(2);
    assert!(!std::fs::read_to_string(&file).unwrap().contains("twice"));
}

#[test]
fn row_3_15_invalid_answers_are_refused_with_locations() {
    let bench = Bench::new();
    let plan = |answer: &str, code: i32| {
        bench.write("answer", answer);
        bench.plue(&["plan", "--goal", GOAL, "--answer", "answer"]).ends(code)
    };
    plan("name: x\ntasks: [{id: a, agent: coder, dependencies: [nobody]}]\n", 3)
        .reports(&["PLUE-P0012", "nobody"]);
    plan("I cannot do that.", 3).reports(&["PLUE-S"]);
    plan("name: x\ngoal: another\ntasks: [{id: a, run: x}]\n", 2).reports(&["another goal"]);
    // An unknown role is a warning here and refused by `run`.
    plan("name: x\ntasks: [{id: a, agent: wizard}]\n", 6).reports(&["PLUE-C0008", "wizard"]);
    let budget = ["plan", "--goal", GOAL, "--answer", "answer", "--budget", "1"];
    bench.plue(&budget).ends(2).reports(&["--budget"]);
    let outside = ["plan", "--goal", GOAL, "--answer", "answer", "--save", "../x.plue.yaml"];
    bench.plue(&outside).ends(2).reports(&["not a path in the repository"]);
}

/// `plue plan --goal`, with a model of one answer for each text.
fn asked(bench: &Bench, model: &Scripted, more: &[&str]) -> CliOutput {
    let mut command = bench.command(&[&["plan", "--goal", GOAL], more].concat());
    CliOutput::of(model.with_key(&mut command).output().unwrap())
}

fn model(answers: &[&str]) -> Scripted {
    let turns = answers.iter().map(|text| json!({"content": [{"type": "text", "text": text}]}));
    Scripted::new(&json!({"turns": turns.collect::<Vec<_>>()}))
}

#[test]
fn row_3_15_workflows_of_claude_wait_for_approval() {
    let bench = Bench::new();
    let model = model(&[ANSWER]);
    bench.plue(&["plan", "--goal", GOAL, "--approve", "x"]).ends(4);
    let shown = asked(&bench, &model, &[]).ends(6);
    shown.shows(&["Portfolio site", "step specs", "step review", "a new workflow"]);
    shown.reports(&["plan_from_goal", "Better:", "nothing is written", "--approve sha256:"]);
    let file = bench.repo().join("portfolio-site.plue.yaml");
    assert!(!file.exists());
    // The question is a run like others, and knew the goal, the roles and the language.
    let transcript = bench.plue(&["transcript", "last", "--full"]).ends(0);
    transcript.shows(&[GOAL, "`product_manager`", "max_visits", "name: Portfolio site"]);
    // The approval is for that answer: nothing is asked again.
    let hash = shown.stderr.rsplit("--approve ").next().unwrap().trim().to_owned();
    asked(&bench, &model, &["--approve", &hash]).ends(0);
    assert!(std::fs::read_to_string(&file).unwrap().contains("name: Portfolio site"));
    bench.plue(&["plan", "portfolio-site"]).ends(0).shows(&[&hash]);
    let state = model.state();
    assert_eq!((&state["requests"], &state["violations"]), (&json!(1), &json!([])));
    bench.plue(&["plan", "--goal", "Another", "--approve", &hash]).ends(4).reports(&["not asked"]);
}

#[test]
fn row_3_15_an_invalid_answer_is_corrected_once() {
    let bench = Bench::new();
    let bad = "```yaml\nname: x\ntasks: [{id: a, agent: coder, dependencies: [gone]}]\n```";
    let first = model(&[bad, ANSWER]);
    let shown = asked(&bench, &first, &[]).ends(6);
    shown.reports(&["no valid workflow", "asked once more"]);
    shown.shows(&["Portfolio site"]);
    bench
        .plue(&["transcript", "last", "--full"])
        .ends(0)
        .shows(&["PLUE-P0012", "dependencies: [gone]"]);
    let second = model(&[bad, bad]);
    asked(&bench, &second, &[]).ends(3).reports(&["PLUE-P0012"]);
}

#[test]
fn row_3_15_a_question_costs_no_more_than_its_budget() {
    let bench = Bench::new();
    let model = model(&[ANSWER]);
    asked(&bench, &model, &["--budget", "0.000001"]).ends(7).reports(&["PLUE-L0004"]);
    assert_eq!(model.state()["requests"], 0);
    bench.plue(&["plan", "--goal", GOAL]).ends(1).reports(&["PLUE-L0001"]);
}
