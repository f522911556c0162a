//! Steps of the plan as tools of an agent: the test that it must make pass is the plan's.

use serde_json::json;

use crate::{scripted::Scripted, support::Bench};

const FIX: &str = r#"
def workflow():
    fix = Step.llm("fix", prompt="Make the check pass.", tools=["write", "step(check)"], approve=[], max_turns=6)
    check = Step.bash("check", 'cat "$FILE" && echo "args: $*"', cwd="app", env={"FILE": "fixed"}, depends_on=[fix])
    return Plan(name="Fix", steps=[fix, check])
"#;

#[test]
fn steps_are_tools_of_agents() {
    let check = |id: &str, args: &[&str]| json!({ "name": "step_check", "input": { "args": args }, "id": id });
    let write = json!({
        "name": "write", "input": { "path": "app/fixed", "content": "mended\n" }, "id": "toolu_B",
    });
    let other = json!({ "name": "bash", "input": { "command": "true" }, "id": "toolu_D" });
    let claude = Scripted::new(&json!([
        { "tool_calls": [check("toolu_A", &[])],
          "expect": [{ "path": "tools.*.name", "equals": "step_check" }] },
        { "tool_calls": [write],
          "expect": [{ "path": "messages.-1.content.0.is_error", "equals": true }] },
        { "tool_calls": [check("toolu_C", &["$(id)", "a b"]), other],
          "expect": [{ "path": "messages.-1.content.0.tool_use_id", "equals": "toolu_B" }] },
        { "text": "It passes.",
          "expect": [
            { "path": "messages.-1.content.0.content", "contains": "mended\nargs: $(id) a b" },
            { "path": "messages.-1.content.1.content", "contains": "there is no such tool" },
        ] },
    ]));
    let bench = Bench::with(FIX);
    bench.write("app/greet", "");
    let run = claude.plue(&bench, &["run"]);
    assert_eq!(claude.state()["violations"], json!([]), "{}", claude.state());
    run.ends(0);
    bench.plue(&["logs", "last", "fix"]).shows(&["✗ step_check", "✓ step_check"]);
}

#[test]
fn tools_of_unknown_steps_are_refused() {
    let claude = Scripted::new(&json!([]));
    let bench = Bench::with(&FIX.replace("step(check)", "step(chek)"));
    claude.plue(&bench, &["run"]).ends(1);
    bench.plue(&["explain", "last", "fix"]).shows(&["PLUE-L0021", "`step(chek)`"]);
    assert_eq!(claude.state()["requests"], 0);
}
