//! Context keys through the released program: fan-out into one key, its reducer, its type.

use serde_json::{Value as Json, json};

use crate::{scripted::Scripted, support::Bench};

/// Four writers that end in the order d, c, b, a; `MERGE` is the reducer.
const FAN_OUT: &str = r#"
name: Fan-out
context:
  keys:
    findings: {type: object, required: [level], merge: MERGE}
tasks:
  - {id: d, run: 'echo level=4 >> "$PLUE_OUTPUT"; touch ended.d', writes: findings}
  - {id: a, writes: findings, run: 'until test -e ended.b; do sleep 0.01; done; echo level=1 >> "$PLUE_OUTPUT"'}
  - {id: b, writes: findings, run: 'until test -e ended.c; do sleep 0.01; done; echo level=2 >> "$PLUE_OUTPUT"; touch ended.b'}
  - id: c
    writes: findings
    python: |
      import json, os, pathlib, time
      while not os.path.exists("ended.d"):
          time.sleep(0.01)
      json.dump({"level": 3}, open(os.environ["PLUE_OUTPUT"], "w"))
      pathlib.Path("ended.c").touch()
  - id: join
    dependencies: [a, b, c, d]
    condition: has(context.findings)
    env: {FOUND: "${context.findings}", SENTENCE: "All: ${context.findings}"}
    run: 'echo "$FOUND"; echo "$SENTENCE" >&2'
settings: {max_parallel: 5}
outputs: {findings: "${context.findings}"}
"#;

/// The value that the join of [`FAN_OUT`] has read.
fn joined(merge: &str) -> Json {
    let bench = Bench::new();
    bench.write("fan.plue.yaml", FAN_OUT.replace("MERGE", merge));
    bench.plue(&["run"]).ends(0).reports(&["5 succeeded"]);
    let stdout = bench.plue(&["logs", "last", "join"]).ends(0).stdout;
    bench.plue(&["explain", "last", "join"]).ends(0).shows(&["context.findings"]);
    let first = stdout.lines().find(|line| line.starts_with(['[', '{'])).unwrap();
    assert!(stdout.contains(&format!("All: {first}")), "{stdout}");
    serde_json::from_str(first).unwrap()
}

#[test]
fn row_4_05_four_parallel_writers_make_one_list_or_map() {
    let (one, two, three, four) =
        (json!({"level": "1"}), json!({"level": "2"}), json!({"level": 3}), json!({"level": "4"}));
    assert_eq!(joined("list"), json!([four, one, two, three]), "in the order of the plan");
    assert_eq!(joined("map"), json!({"a": one, "b": two, "c": three, "d": four}));
    assert_eq!(joined("last"), three, "the last of the plan, whichever ends last");
}

#[test]
fn row_4_05_parallel_writers_without_a_reducer_are_refused() {
    let bench = Bench::new();
    bench.write("fan.plue.yaml", FAN_OUT.replace("MERGE", "error"));
    let expected =
        ["PLUE-P0086", "`findings`", "step `a`", "as step `d` does", "merge", "depends_on"];
    bench.plue(&["validate"]).ends(3).reports(&expected);
    bench.plue(&["run"]).ends(3).reports(&["PLUE-P0086"]);
    bench.write("fan.plue.yaml", FAN_OUT.replace("MERGE", "lst"));
    bench.plue(&["validate"]).ends(3).reports(&["`lst`", "did you mean `last`?", "1 error"]);
}

#[test]
fn row_4_04_values_of_the_wrong_type_fail_the_step() {
    let bench = Bench::new();
    let wrong = FAN_OUT.replace("MERGE", "list").replace("level=4", "depth=4");
    bench.write("fan.plue.yaml", wrong);
    bench.plue(&["run"]).ends(1);
    let expected = ["PLUE-P0087", "level", "context key"];
    bench.plue(&["explain", "last", "d"]).ends(0).shows(&expected);
}

#[test]
fn row_4_05_writers_that_fail_or_are_skipped_contribute_nothing() {
    let bench = Bench::new();
    bench.write(
        "some.plue.yaml",
        r#"
name: Some
context: {keys: {found: {merge: map}, plan: {type: string}}}
tasks:
  - {id: a, run: echo one, writes: found}
  - {id: b, run: "exit 1", writes: found, on_failure: continue}
  - {id: c, run: echo three, writes: found, condition: "false"}
  - {id: p, run: "exit 1", writes: plan, on_failure: continue}
  - id: join
    dependencies: [a, b, c, p]
    env: {FOUND: "${context.found}", PLAN: "${default(context.plan, 'no plan')}"}
    run: 'echo "$FOUND $PLAN"'
"#,
    );
    bench.plue(&["run"]).ends(0);
    let stdout = bench.plue(&["logs", "last", "join"]).ends(0).stdout;
    assert_eq!(stdout, "{\"a\":\"one\"} no plan\n");
}

#[test]
fn row_4_04_keys_are_equal_in_both_languages() {
    let bench = Bench::new();
    bench.write(
        "a.plue.yaml",
        r#"
name: Keys
settings: {max_parallel: 2}
context:
  variables: {who: me}
  keys:
    plan: {type: object, properties: {risk: {type: integer}}}
    notes: {merge: list}
tasks:
  - {id: plan, prompt: Plan it, writes: plan}
  - {id: one, run: echo 1, writes: notes, dependencies: [plan], condition: context.plan.risk > 1}
  - {id: two, run: echo 2, writes: notes, dependencies: [plan]}
  - {id: end, run: 'echo "$NOTES"', dependencies: [one, two], env: {NOTES: "${context.notes}", FIRST: "${context.notes[0]}", TEXT: "Risk ${context.plan.risk} for ${who}"}}
"#,
    );
    bench.write(
        "b.plue.py",
        r#"
def workflow():
    plan = Key("plan", {"type": "object", "properties": {"risk": {"type": "integer"}}})
    notes = Key("notes", merge="list")
    return Plan(
        name="Keys",
        max_parallel=2,
        context=[plan, notes],
        steps=[
            Step.llm("plan", "Plan it", writes=plan),
            Step.bash("one", "echo 1", writes="notes", depends_on=["plan"], when="context.plan.risk > 1"),
            Step.bash("two", "echo 2", writes=notes, depends_on=["plan"]),
            Step.bash(
                "end",
                'echo "$NOTES"',
                depends_on=["one", "two"],
                env={"NOTES": ref(notes), "FIRST": ref(notes, "0"), "TEXT": f"Risk {ref(plan, 'risk')} for me"},
            ),
        ],
    )
"#,
    );
    let plan = |file| bench.plue(&["plan", file, "--output", "json"]).ends(0).stdout;
    assert_eq!(plan("a.plue.yaml"), plan("b.plue.py"));
    let shown = ["context notes: any, list of one, two", "context plan: object, plan"];
    bench.plue(&["plan", "a.plue.yaml"]).ends(0).shows(&shown);
    bench.write(
        "b.plue.py",
        r#"
def workflow():
    return Plan(name="x", context=[Key("k")], steps=[Step.bash("a", "true", writes="q"), Step.bash("b", "true", env={"X": ref(Key("k"))})])
"#,
    );
    bench.plue(&["validate", "b.plue.py"]).ends(3).reports(&["PLUE-P0085", "PLUE-P0030"]);
}

#[test]
fn row_4_04_replays_of_a_key_give_the_same_value() {
    let bench = Bench::new();
    bench.write("fan.plue.yaml", FAN_OUT.replace("MERGE", "list"));
    let outputs = |run: &str| {
        let shown = bench.plue(&["status", run, "--output", "json"]).ends(0).json();
        shown["outputs"]["findings"].clone()
    };
    bench.plue(&["run"]).ends(0);
    let first = outputs("last");
    for file in ["ended.b", "ended.c", "ended.d"] {
        std::fs::remove_file(bench.repo().join(file)).unwrap();
    }
    bench.plue(&["run"]).ends(0);
    assert_eq!(outputs("last"), first);
    assert_eq!(first.as_array().map(Vec::len), Some(4));
}

#[test]
fn row_4_03_four_agents_hand_on_typed_values() {
    let json_schema = json!({ "path": "output_config.format.type", "equals": "json_schema" });
    let no_schema = json!({ "path": "output_config.format", "exists": false });
    let holds = |text: &str| json!({ "path": "messages.0.content", "matches": text });
    let claude = Scripted::new(&json!([
        { "text": r#"{"tasks": ["write login"]}"#, "expect": [json_schema.clone()] },
        { "text": "login.rs is written", "expect": [no_schema.clone(), holds("write login")] },
        {
            "text": r#"{"accepted": true, "findings": []}"#,
            "expect": [json_schema, holds("write login"), holds("login.rs is written")],
        },
        { "text": "Login is there.", "expect": [no_schema, holds("accepted")] },
    ]));
    let bench = Bench::new();
    bench.plue(&["template", "new", "hello-multi-agent"]).ends(0);
    let run = |args: &[&str]| claude.plue(&bench, args);
    run(&["run"]).ends(0).reports(&["4 succeeded"]);
    assert_eq!(claude.state()["violations"], json!([]));
    let shown = run(&["status", "last", "--output", "json"]).ends(0).json();
    let expected = json!({
        "plan": {"tasks": ["write login"]},
        "built": "login.rs is written",
        "review": {"accepted": true, "findings": []},
        "doc": "Login is there.",
    });
    assert_eq!(shown["outputs"], expected, "{shown}");
}
