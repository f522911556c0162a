//! The words of a workflow file and the IR that they become.

use plue_plan::{Plan, canonical::HashedPlan};
use plue_wire::eval::EvalOutcome;
use serde_json::{Value as Json, json};

use crate::harness::{evaluate, request};

fn plan(source: &str) -> Json {
    match evaluate(request("ci.plue.py", source.as_bytes())).outcome {
        Some(EvalOutcome::Plans(plans)) => serde_json::from_str(&plans[0].plan_json).unwrap(),
        other => panic!("{source}: {other:?}"),
    }
}

fn step(call: &str) -> Json {
    plan(&format!("def workflow():\n    return Plan('x', steps=[{call}])\n"))["steps"][0].clone()
}

#[test]
fn the_example_of_the_contract_runs_verbatim() {
    let source = r#"
def workflow():                      # or workflow(ctx)
    return Plan(
        name="CI Pipeline",
        triggers=[Trigger.on_push(branch="main"), Trigger.on_pull_request()],
        steps=[
            Step.bash("test", "npm test"),
            Step.bash("build", "npm run build", depends_on=["test"]),
            Step.llm("review", prompt="Review the code changes", depends_on=["test"]),
        ],
    )
"#;
    let expected = json!({
        "version": 1, "name": "CI Pipeline",
        "triggers": [{"on": "push", "branches": ["main"]}, {"on": "pull_request"}],
        "steps": [
            {"id": "test", "kind": "bash", "run": "npm test"},
            {"id": "build", "kind": "bash", "run": "npm run build", "depends_on": ["test"]},
            {"id": "review", "kind": "llm", "prompt": "Review the code changes", "depends_on": ["test"]},
        ],
    });
    assert_eq!(plan(source), expected);
    let plan: Plan = serde_json::from_value(expected).unwrap();
    assert!(HashedPlan::new(plan).is_ok());
}

#[test]
fn defaults_are_not_written() {
    assert_eq!(
        step(
            "Step.bash('a', 'b', shell='bash', depends_on=[], on_failure='fail', pure=False, interactive=False, env={})"
        ),
        json!({"id": "a", "kind": "bash", "run": "b"})
    );
    assert_eq!(
        step("Step.approval('a', quorum=1, on_timeout='reject', approvers=[])"),
        json!({"id": "a", "kind": "approval"})
    );
    assert_eq!(
        step("Step.call('a', 'https://x', callback=True)"),
        json!({"id": "a", "kind": "call", "url": "https://x"})
    );
    assert_eq!(
        step("Step.negotiate('a', ['b', 'c'], {}, accept='all')"),
        json!({"id": "a", "kind": "negotiate", "parties": ["b", "c"], "subject": {}})
    );
    let whole = plan(
        "def workflow():\n    return Plan('x', timeout='1h', on_failure='stop', tags=[], triggers=[Trigger.on_schedule('* * * * *', tz='UTC', misfire='run_once')], inputs={'a': Input(type='string', required=False)}, steps=[])\n",
    );
    assert_eq!(
        whole,
        json!({"version": 1, "name": "x", "inputs": {"a": {}}, "triggers": [{"on": "schedule", "cron": "* * * * *"}], "steps": []})
    );
}

#[test]
fn names_of_steps_hold_references() {
    let name = |value: &str| step(&format!("Step.bash('a', 'b', name={value})"))["name"].clone();
    assert_eq!(name("'Build ${HOME}'"), json!("Build ${HOME}"));
    assert_eq!(name("ref('v', 'tag')"), json!({"$expr": "steps.v.output.tag"}));
    let template = json!({"$template": "Release ${steps.v.output.tag} for $${HOME}"});
    assert_eq!(name("f'Release {ref(\"v\", \"tag\")} for ${{HOME}}'"), template);
    let template = json!({"$template": "by ${event.actor}"});
    assert_eq!(name("template('by ${event.actor}')"), template);
    // A plan shows a name as it is written.
    assert_eq!(
        name("'see ' + Step.bash('b', 'c', name=ref('v')).name"),
        json!("see ${steps.v.output}")
    );
}

#[test]
fn retry_with_defaults_is_still_a_retry() {
    assert_eq!(step("Step.bash('a', 'b', retry=Retry())")["retry"], json!({}));
    assert_eq!(
        step("Step.bash('a', 'b', retry=Retry(3, delay=5, backoff='fixed'))")["retry"],
        json!({})
    );
}

#[test]
fn a_function_travels_without_its_margin_and_is_called_by_name() {
    let source = "def workflow():\n    if True:\n        def go(a, b='x'):\n            import os\n            text = '''\n  kept'''\n            return a + text\n        return Plan('x', steps=[Step.python('p', go, args=['1'])])\n";
    assert_eq!(
        plan(source)["steps"][0],
        json!({
            "id": "p", "kind": "python", "call": "go", "args": ["1"],
            "code": "def go(a, b='x'):\n    import os\n    text = '''\n  kept'''\n    return a + text\n",
        })
    );
}

#[test]
fn a_function_given_indirectly_travels_if_it_obeys_the_policy() {
    let source = "def one():\n    print(1)\ndef workflow():\n    return Plan('x', steps=[Step.python(f.__name__, f) for f in [one]])\n";
    assert_eq!(plan(source)["steps"][0]["code"], "def one():\n    print(1)\n");
}

#[test]
fn texts_of_enums_and_subclasses_are_taken_by_their_content() {
    let source = "from enum import StrEnum\nclass E(StrEnum):\n    A = 'a'\nclass S(str):\n    def __str__(self):\n        return 'lie'\ndef workflow():\n    return Plan(S('x'), steps=[Step.bash(E.A, S('run'))])\n";
    let plan = plan(source);
    assert_eq!(
        (&plan["name"], &plan["steps"][0]["id"], &plan["steps"][0]["run"]),
        (&json!("x"), &json!("a"), &json!("run"))
    );
}

#[test]
fn places_follow_characters_and_the_order_of_steps() {
    let source =
        "def workflow():\n    return Plan('ä', steps=[Step.bash('ö', 'x'), Step.bash('a', 'y')])\n";
    let Some(EvalOutcome::Plans(plans)) =
        evaluate(request("ci.plue.py", source.as_bytes())).outcome
    else {
        panic!("no plan");
    };
    let places: plue_plan::validate::SourceMap =
        serde_json::from_str(&plans[0].places_json).unwrap();
    let span = &places.steps["a"][0];
    assert_eq!((span.line, span.column, span.end_column), (2, 50, Some(69)));
    assert_eq!(places.plan.unwrap().column, 12);
}

#[test]
fn a_step_function_that_is_reached_here_after_all_says_where_it_runs() {
    let source = "class A:\n    def go():\n        import os\n    step = Step.python('p', go)\n\
                  def workflow():\n    return A.go()\n";
    let Some(EvalOutcome::Failed { diagnostics_json }) =
        evaluate(request("ci.plue.py", source.as_bytes())).outcome
    else {
        panic!("it ran");
    };
    assert!(diagnostics_json.contains("PLUE-E0038"), "{diagnostics_json}");
    assert!(diagnostics_json.contains("it runs on the runner"), "{diagnostics_json}");
}
