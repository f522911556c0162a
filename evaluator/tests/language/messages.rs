//! Diagnostics of common mistakes: code, place, message and hint.

use plue_plan::Diagnostic;
use plue_wire::eval::EvalOutcome;

use crate::harness::{evaluate, evaluate_all, request};

fn diagnostics(source: &str) -> Vec<Diagnostic> {
    match evaluate(request("ci.plue.py", source.as_bytes())).outcome {
        Some(EvalOutcome::Failed { diagnostics_json }) => {
            serde_json::from_str(&diagnostics_json).unwrap()
        }
        other => panic!("{source}: {other:?}"),
    }
}

/// `line:column-end code message (hint)`
fn line(problem: &Diagnostic) -> String {
    let span = problem.span.as_ref().unwrap();
    let end = span.end_column.map_or(String::new(), |end| format!("-{end}"));
    let hint = problem.hint.as_deref().map_or(String::new(), |hint| format!(" ({hint})"));
    let (line, column) = (span.line, span.column);
    format!("{line}:{column}{end} {} {}{hint}", problem.code, problem.message)
}

fn said(source: &str) -> String {
    diagnostics(source).iter().map(line).collect::<Vec<_>>().join("\n")
}

fn in_workflow(body: &str) -> String {
    said(&format!("def workflow():\n    {body}\n"))
}

#[test]
fn every_problem_of_the_policy_is_reported_at_once_in_the_order_of_the_text() {
    let source =
        "import os\nx = open('a')\ndef workflow():\n    'ä'; ().__class__\n    return eval('1')\n";
    assert_eq!(
        said(source),
        "1:8-10 PLUE-E0017 the module `os` is not available while a plan is made (the environment and files belong to steps: use env=, ctx.read(path) or a step)\n\
         2:5-9 PLUE-E0019 `open` is not available while a plan is made (read files with ctx.read(path), or do it in a step)\n\
         4:10-22 PLUE-E0013 the attribute `__class__` is not available while a plan is made (use type(value))\n\
         5:12-16 PLUE-E0019 `eval` is not available while a plan is made (a plan does not make code; read data with json.loads)"
    );
}

#[test]
fn what_is_not_there_is_answered_with_what_is() {
    assert_eq!(
        in_workflow("return Plan('x', triggers=[Trigger.schedule('0 0 * * *')])"),
        "2:32-48 PLUE-E0026 AttributeError: type object 'plue.Trigger' has no attribute 'schedule' \
         (Trigger has on_event, on_issue, on_issue_comment, on_manual, on_pull_request, on_push, \
         on_schedule, on_webhook, on_workflow)"
    );
    assert_eq!(
        said("def workflow(ctx):\n    return ctx.event.branch\n"),
        "2:12-28 PLUE-E0026 AttributeError: 'NoneType' object has no attribute 'branch' \
         (`ctx.event` is None while workflows are only listed: check it first)"
    );
}

#[test]
fn a_misspelt_name_is_suggested() {
    assert_eq!(
        in_workflow("return Plam('x')"),
        "2:12-16 PLUE-E0020 the name `Plam` is not defined (did you mean `Plan`?)"
    );
    assert_eq!(
        in_workflow("return json.loads('1')"),
        "2:12-16 PLUE-E0020 the name `json` is not defined (add `import json`)"
    );
    assert_eq!(
        said("from functools import singledispatch\n"),
        "1:23-37 PLUE-E0018 `singledispatch` of the module `functools` is not available while a plan is made (use isinstance or match)"
    );
    assert_eq!(
        in_workflow("return Step.bahs('x')"),
        "2:12-21 PLUE-E0026 AttributeError: type object 'plue.Step' has no attribute 'bahs' (did you mean `bash`?)"
    );
}

#[test]
fn arguments_name_themselves_their_step_and_the_right_spelling() {
    for (body, expected) in [
        (
            "return Step.bash('build', 'make', depends_on='test')",
            "2:12-57 PLUE-E0034 `depends_on` of Step.bash(\"build\") must be a list of ids or steps, not text (write depends_on=[\"test\"])",
        ),
        (
            "return Step.bash('build', 'make', depends_on={'test'})",
            "2:12-59 PLUE-E0034 `depends_on` of Step.bash(\"build\") must be a list of ids or steps, not a set (a set has no order that is the same every time; use a list or sorted(…))",
        ),
        (
            "return Trigger.on_push(branch=['a'])",
            "2:12-41 PLUE-E0033 `branch` of Trigger.on_push must be one pattern, not a list (write branches=[…])",
        ),
        (
            "return Step.bash('build', 'make', depend_on=[])",
            "2:12-52 PLUE-E0030 Step.bash has no argument `depend_on` (did you mean `depends_on`?)",
        ),
        (
            "return Step.bash('build', 'make', needs=[])",
            "2:12-48 PLUE-E0030 Step.bash has no argument `needs` (did you mean `depends_on`?)",
        ),
        (
            "return Step.bash('build')",
            "2:12-30 PLUE-E0031 Step.bash(\"build\") needs `run` (Step.bash(id, run))",
        ),
        (
            "return Step.bash('build', 'make', ['test'])",
            "2:12-48 PLUE-E0032 Step.bash takes only id, run by position, and got 3 (name the others, as in shell=…)",
        ),
        (
            "return Step.bash('build', 'make', timeout=1.5)",
            "2:12-51 PLUE-E0033 `timeout` of Step.bash(\"build\") must be a duration, not a number (write \"90s\", \"1h30m\" or \"500ms\", or a whole number of seconds)",
        ),
        (
            "return Step.bash('build', 'make', retry=3)",
            "2:12-47 PLUE-E0033 `retry` of Step.bash(\"build\") must be a Retry, not a number (write retry=Retry(max_attempts=3))",
        ),
        (
            "return Step.bash('build', f'echo {secret(\"T\")}')",
            "2:31-52 PLUE-E0043 secret(\"T\") has no text while the plan is made (pass it as a value, as in env={\"NAME\": …}, and read the variable in the step)",
        ),
        (
            "return Step.bash('build', 'make', name=f'with {secret(\"T\")}')",
            "2:44-65 PLUE-E0043 secret(\"T\") has no text while the plan is made (pass it as a value, as in env={\"NAME\": …}, and read the variable in the step)",
        ),
        (
            "return Step.bash('build', 'make', name=secret('T'))",
            "2:12-56 PLUE-E0043 `name` of Step.bash(\"build\") is a secret, and names are shown to everyone who sees the run (give it to the step with secrets=[…])",
        ),
        (
            "return Step.bash('build', 'make', name=5)",
            "2:12-46 PLUE-E0033 `name` of Step.bash(\"build\") must be text, not a number (write it in quotes, or use str(…))",
        ),
        (
            "return Plan('x', description=f'{ref(\"v\")}')",
            "2:12-48 PLUE-E0043 `description` of Plan holds a reference, which has no value while the plan is made (give it to the step with env={\"NAME\": ref(…)} and read the variable there)",
        ),
        (
            "return Plan(f'{ref(\"v\")}')",
            "2:12-31 PLUE-E0043 `name` of Plan holds a reference, which has no value while the plan is made (give it to the step with env={\"NAME\": ref(…)} and read the variable there)",
        ),
        (
            "return Step.plugin('p', 'k', a={'b': [1, {2}]})",
            "2:12-52 PLUE-E0036 `a` of Step.plugin(\"p\") at [\"b\"][1] is a set, which is no JSON value (a set has no order that is the same every time; use sorted(…))",
        ),
    ] {
        assert_eq!(in_workflow(body), expected);
    }
}

#[test]
fn an_exception_shows_the_place_and_the_way_to_it() {
    let source = "def f(x):\n    return {}[x]\n\ndef workflow():\n    return f('ä') + f('k')\n";
    let problems = diagnostics(source);
    assert_eq!(line(&problems[0]), "2:12-17 PLUE-E0026 KeyError: 'ä'");
    assert_eq!(problems[0].related.len(), 1);
    let call = &problems[0].related[0].span;
    assert_eq!((call.line, call.column, call.end_column), (5, 12, Some(18)));
}

#[test]
fn an_exception_without_a_text_of_its_own_is_still_reported() {
    let source = "class E(Exception):\n    def __str__(self):\n        raise ValueError\ndef workflow():\n    raise E\n";
    assert_eq!(said(source), "5:5-12 PLUE-E0026 E");
}

#[test]
fn a_syntax_error_has_its_place() {
    assert_eq!(said("def workflow(:\n    pass\n"), "1:14-15 PLUE-E0009 invalid syntax");
    assert_eq!(said("x = 'ä' +\n"), "1:10 PLUE-E0009 invalid syntax");
}

#[test]
fn type_has_no_items_as_in_cpython() {
    for (used, expected) in [
        ("list(type)", "object is not iterable"),
        ("max(type)", "object is not iterable"),
        ("1 in type", "is not iterable"),
        ("[*type]", "must be an iterable, not builtins.type"),
    ] {
        let said = in_workflow(&format!("return {used}"));
        assert!(said.contains("TypeError: ") && said.ends_with(expected), "{said}");
    }
}

#[test]
fn functions_that_cannot_travel_say_what_they_read() {
    let source = "import json\nA = 1\ndef go(x=A):\n    return json.dumps(x)\ndef workflow():\n    return Step.python('p', go)\n";
    assert_eq!(
        said(source),
        "6:12-32 PLUE-E0038 the code of Step.python(\"p\") is `go`, which reads `A`, `json` from outside itself (only the function's own text travels: import modules inside it, pass values with args=)"
    );
}

#[test]
fn workflow_must_be_there_and_return_plans() {
    assert_eq!(
        said("def worklfow():\n    return None\n"),
        "1:1 PLUE-E0022 the file has no function `workflow` (did you mean `worklfow`?)"
    );
    assert_eq!(
        said("x = 1\ndef workflow(a, b):\n    return None\n"),
        "2:1 PLUE-E0023 `workflow` has no parameter or one, the context (write `def workflow():` or `def workflow(ctx):`)"
    );
    assert_eq!(
        in_workflow("Plan('x')"),
        "1:1 PLUE-E0024 `workflow` returned None, not a Plan or a list of Plans (add `return Plan(…)`)"
    );
}

#[test]
fn what_is_printed_comes_along_and_too_much_of_it_is_an_error() {
    let source = "def workflow():\n    print('a', 1, sep='-')\n    return Plan('x', steps=[])\n";
    assert_eq!(evaluate(request("ci.plue.py", source.as_bytes())).printed, "a-1\n");
    let source = "def workflow():\n    for i in range(9999):\n        print('ä' * 999)\n";
    let observed = evaluate(request("ci.plue.py", source.as_bytes()));
    assert!(observed.printed.len() <= plue_wire::eval::MAX_PRINT_BYTES);
    assert!(said(source).starts_with("3:9-25 PLUE-E0029 "));
}

#[test]
fn a_long_message_is_cut() {
    let problems = diagnostics("def workflow():\n    raise ValueError('x' * 100000)\n");
    assert!(problems[0].message.chars().count() < 4_200);
}

#[test]
fn messages_are_the_same_under_every_hash_seed() {
    let source = "def workflow():\n    return undefined_a + undefined_b + Step.bash('a', depends_on=1, z=2, y=3)\n";
    let all = [0, 1, 2].map(|seed| evaluate_all(&[request("ci.plue.py", source.as_bytes())], seed));
    assert_eq!(all[0], all[1]);
    assert_eq!(all[1], all[2]);
}
