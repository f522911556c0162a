//! Workflows in YAML and JSON, by the command line.

use crate::support::Bench;

const FLOW: &str = "\
version: \"1.0\"
name: Flow
tasks:
  - {id: branch, run: 'echo \"name=\\$(touch pwned)\\`touch pwned\\`\" >> \"$PLUE_OUTPUT\"'}
  - id: say
    run: printf '%s' \"$NAME\"
    dependencies: [branch]
    condition: branch.status == 'success'
    env: {NAME: \"branch ${branch.output.name}\"}
";

#[test]
fn row_2_01_yaml_flows_run_with_values_as_data() {
    let bench = Bench::new();
    bench.write("flow.plue.yaml", FLOW);
    bench.commit();
    bench.plue(&["run", "flow.plue.yaml"]).ends(0);
    bench.plue(&["logs", "last", "say"]).ends(0).shows(&["branch $(touch pwned)`touch pwned`"]);
    assert!(!bench.repo().join("pwned").exists());
    // By its name, and by that of its plan.
    bench.plue(&["run", "flow"]).ends(0);
    bench.plue(&["run", "Flow"]).ends(0);
}

#[test]
fn row_2_03_problems_show_line_and_caret() {
    let bench = Bench::new();
    let text = "name: x\ntasks:\n  - id: a\n    agnet: coder\n  - {id: b, run: \"true\", condition: a.stauts == 'x'}\n";
    bench.write("bad.plue.yaml", text);
    let output = bench.plue(&["validate", "bad.plue.yaml"]).ends(3);
    output.reports(&[
        "error[PLUE-S0018]: task `a` has no key `agnet`",
        "--> bad.plue.yaml:4:5",
        "  4 |     agnet: coder",
        "    |     ^",
        "did you mean `agent`?",
        "a step has no field `stauts`; did you mean `status`?",
        "--> bad.plue.yaml:5:",
    ]);
}

#[test]
fn row_2_28_workflows_of_claude_are_listed_despite_broken_ones() {
    let bench = Bench::new();
    bench.write(".claude/workflows/a.yml", FLOW);
    bench.write(
        ".claude/workflows/b.json",
        r#"{"name": "B", "tasks": [{"id": "b", "run": "true"}]}"#,
    );
    bench.write("broken.plue.yaml", "name: [\n");
    bench.write(
        "c.plue.json",
        r#"{"version": 1, "name": "C", "steps": [{"id": "c", "kind": "bash", "run": "true"}]}"#,
    );
    bench.commit();
    bench.plue(&["list"]).ends(0).shows(&["Flow", "B", "C", "(broken)", "broken.plue.yaml"]);
}

#[test]
fn printed_plans_are_workflows_of_equal_hash() {
    let bench = Bench::new();
    bench.write("flow.plue.yaml", FLOW);
    let plan = bench.plue(&["plan", "flow.plue.yaml", "--output", "json"]).ends(0);
    bench.write("again.plue.json", &plan.raw);
    let again = bench.plue(&["plan", "again.plue.json", "--output", "json"]).ends(0);
    assert_eq!(again.raw, plan.raw);
    // A file that is named need not have the name of a workflow.
    bench.write("any.yaml", FLOW);
    assert_eq!(bench.plue(&["plan", "any.yaml", "--output", "json"]).ends(0).raw, plan.raw);
}

#[test]
fn yaml_files_start_no_evaluator() {
    let bench = Bench::new();
    bench.write("flow.plue.yaml", FLOW);
    let mut command = bench.command(&["plan", "flow.plue.yaml"]);
    command.env("PLUE_EVALUATOR_BINARY", "/nonexistent/plue-evaluator");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_schema_of_workflows_is_built_in() {
    let bench = Bench::new();
    let schema = bench.plue(&["schema", "workflow"]).ends(0).json();
    assert_eq!(schema["title"], "plue workflow");
}
