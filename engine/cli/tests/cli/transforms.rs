//! `plue test transform`: what a step makes of values, without the steps before it.

use serde_json::json;

use crate::support::{Bench, snapshot};

const FLOW: &str = r#"
def summarise(text):
    import json, os
    found = json.loads(os.environ["FOUND"])
    return {"count": len(found), "first": found[0].upper(), "by": text}

def workflow():
    search = Step.bash("search", "touch searched; exit 1")
    shape = Step.python("shape", summarise, args=["me"], depends_on=[search],
                        env={"FOUND": ref("search", "files"), "WHO": ref("search", "who")},
                        outputs={"type": "object", "required": ["count"]})
    tell = Step.llm("tell", Prompt("task", task="Tell", files=shape.output("count")), role="doc",
                    depends_on=[shape], when="steps.shape.output.count > 1 && inputs.loud")
    return Plan(name="Transforms", inputs={"loud": Input(type="boolean", default=True)}, steps=[search, shape, tell])
"#;

#[test]
fn row_3_04_transformers_are_tested_by_themselves() {
    let bench = Bench::with(FLOW);
    let test = |step: &str, cases: serde_json::Value| {
        bench.write("cases.json", cases.to_string());
        bench.plue(&["test", "transform", ".plue.py", step, "--cases", "cases.json"])
    };
    let search = |output: serde_json::Value| json!({"steps": {"search": {"output": output}}});
    // The input, computed from the output of the step before, and the output.
    let given = search(json!({"files": ["a b", "$(touch pwned)"], "who": "x"}));
    let good = json!([{
        "name": "two files",
        "given": given,
        "input": {"env": {"FOUND": ["a b", "$(touch pwned)"], "WHO": "x"}},
        "output": {"count": 2, "first": "A B", "by": "me"},
    }]);
    test("shape", good.clone()).ends(0).reports(&["1 cases: 1 passed, 0 failed"]);
    // Each expectation can fail.
    for (pointer, wrong, expected) in [
        ("/0/input/env/WHO", json!("y"), "input"),
        ("/0/input/env/FOUND", json!(["a b"]), "input"),
        ("/0/input/env", json!({"NOBODY": "x"}), "NOBODY"),
        ("/0/output/count", json!(3), "output is"),
        ("/0/given/steps/search/output/files", json!([]), "the step fails"),
        ("/0/given/steps/search/output", json!({}), "files"),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = wrong;
        let printed = test("shape", bad).ends(1);
        let expected = if expected == "input" { "env." } else { expected };
        printed.reports(&["case `two files`: ", expected, "0 passed, 1 failed"]);
    }
    // The prompt of an agent and its condition, without asking anybody.
    let case = |count: u32, loud: bool, when: bool| {
        json!({"name": format!("{count}"), "given": {"steps": {"shape": {"output": {"count": count}}},
               "inputs": {"loud": loud}},
               "input": {"when": when, "prompt": {"inputs": {"files": count}}}})
    };
    test("tell", json!([case(2, true, true), case(1, true, false), case(2, false, false)])).ends(0);
    test("tell", json!([case(2, true, false)])).ends(1).reports(&["when is true, expected false"]);
    let mut with_output = case(2, true, true);
    with_output["output"] = json!("text");
    test("tell", json!([with_output])).ends(2).reports(&["runs no program of its own"]);
    test("nobody", good).ends(4).reports(&["search, shape, tell"]);
    test("shape", json!([{"name": "x", "gven": 1}])).ends(2).reports(&["gven"]);
    test("shape", json!([])).ends(2);
    // Nothing of the workflow ran, and nothing was recorded.
    assert!(!bench.repo().join("searched").exists() && !bench.repo().join("pwned").exists());
    let recorded = snapshot(&bench.home());
    assert!(recorded.iter().all(|(path, _)| !path.ends_with("plue.db")), "{recorded:?}");
}
