//! `ctx`: the view of a workflow, and its requests.

use plue_wire::eval::{Bytes, EvalOutcome, EvalRequest, FileFact, Need};
use serde_json::json;

use crate::harness::{Observed, evaluate, evaluate_all, request};

fn with_body(body: &str) -> EvalRequest {
    let source = format!(
        "def workflow(ctx):\n    text = {body}\n    return Plan('x', steps=[Step.bash('a', str(text))])\n"
    );
    request("ci.plue.py", source.as_bytes())
}

fn run_of(observed: &Observed) -> String {
    let Some(EvalOutcome::Plans(plans)) = &observed.outcome else {
        panic!("{observed:?}");
    };
    let plan: serde_json::Value = serde_json::from_str(&plans[0].plan_json).unwrap();
    plan["steps"][0]["run"].as_str().unwrap().to_owned()
}

fn needs(request: EvalRequest) -> Vec<Need> {
    match evaluate(request).outcome {
        Some(EvalOutcome::Needs(needs)) => needs,
        other => panic!("{other:?}"),
    }
}

fn problem(request: EvalRequest) -> (String, String, String) {
    match evaluate(request).outcome {
        Some(EvalOutcome::Failed { diagnostics_json }) => {
            let all: serde_json::Value = serde_json::from_str(&diagnostics_json).unwrap();
            let text = |key: &str| all[0][key].as_str().unwrap_or_default().to_owned();
            (text("code"), text("message"), text("hint"))
        }
        other => panic!("{other:?}"),
    }
}

fn pull_request() -> String {
    json!({
        "type": "pull_request", "action": "opened", "sha": "abc", "branch": "main",
        "pull_request": {
            "number": 7, "title": "T", "draft": true, "labels": ["bug"], "fork": true,
            "base": {"ref": "main", "sha": "1"}, "head": {"ref": "fix", "sha": "2", "repository": "a/b"},
        },
    })
    .to_string()
}

#[test]
fn a_missing_fact_ends_the_evaluation_with_what_is_needed() {
    assert_eq!(needs(with_body("ctx.read('./a//b.txt')")), [Need::Read("a/b.txt".to_owned())]);
    assert_eq!(needs(with_body("ctx.exists('a')")), [Need::Exists("a".to_owned())]);
    assert_eq!(needs(with_body("ctx.glob('**/*.py')")), [Need::Glob("**/*.py".to_owned())]);
    assert_eq!(needs(with_body("ctx.changed_files")), [Need::ChangedFiles]);
}

#[test]
fn a_withheld_event_is_asked_for_and_nothing_else_of_the_context_asks_for_it() {
    let withheld = |body| EvalRequest { withholds_event: true, ..with_body(body) };
    assert_eq!(needs(withheld("ctx.event")), [Need::Event]);
    assert_eq!(needs(withheld("ctx.event.branch if ctx.event else 'none'")), [Need::Event]);
    assert_eq!(
        run_of(&evaluate(withheld("(ctx.inputs.get('x'), str(ctx))"))),
        "(None, '<Context>')"
    );
}

#[test]
fn a_need_cannot_be_swallowed() {
    for body in [
        "    try:\n        ctx.read('a')\n    except:\n        pass\n",
        "    try:\n        ctx.read('a')\n    finally:\n        return Plan('x', steps=[Step.bash('a', 'b')])\n",
        "    with S():\n        ctx.read('a')\n",
    ] {
        let source = format!(
            "class S:\n    def __enter__(self):\n        pass\n    def __exit__(self, *a):\n        return True\n\
             def workflow(ctx):\n{body}    return Plan('x', steps=[Step.bash('a', 'b')])\n"
        );
        assert_eq!(needs(request("ci.plue.py", source.as_bytes())), [Need::Read("a".to_owned())]);
    }
}

#[test]
fn facts_are_answered() {
    let mut request = with_body(
        "(ctx.read('a'), ctx.exists('b'), ctx.exists('c'), ctx.exists('a'), ctx.glob('*'), ctx.changed_files)",
    );
    request.facts.files = [
        ("a".to_owned(), FileFact::Text("A".to_owned())),
        ("b".to_owned(), FileFact::Absent),
        ("c".to_owned(), FileFact::Present),
    ]
    .into();
    request.facts.globs = [("*".to_owned(), vec!["a".to_owned(), "c".to_owned()])].into();
    request.facts.changed_files = Some(vec!["z".to_owned()]);
    assert_eq!(run_of(&evaluate(request)), "('A', False, True, True, ['a', 'c'], ['z'])");
}

#[test]
fn files_that_were_listed_together_are_asked_for_together() {
    let mut request = with_body("[ctx.read(p) for p in ctx.glob('*')]");
    let paths: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
    request.facts.globs = [("*".to_owned(), paths)].into();
    request.facts.files = [("a".to_owned(), FileFact::Text(String::new()))].into();
    let read = |path: &str| Need::Read(path.to_owned());
    assert_eq!(needs(request), [read("b"), read("c")]);
}

#[test]
fn a_file_that_is_absent_or_no_text_is_an_error_that_can_be_caught() {
    let mut request = with_body("ctx.read('a')");
    request.facts.files = [("a".to_owned(), FileFact::Absent)].into();
    let (code, message, _) = problem(request.clone());
    assert_eq!((code.as_str(), message.as_str()), ("PLUE-E0040", "the commit has no file `a`"));
    request.facts.files = [("a".to_owned(), FileFact::NotText)].into();
    assert_eq!(problem(request).0, "PLUE-E0040");
}

#[test]
fn paths_outside_the_repository_are_refused() {
    for body in
        ["ctx.read('/etc/passwd')", "ctx.exists('../x')", "ctx.glob('')", "ctx.read('a\\0')"]
    {
        assert_eq!(problem(with_body(body)).0, "PLUE-E0039", "{body}");
    }
    assert_eq!(problem(with_body("ctx.read(1)")).0, "PLUE-E0033");
}

#[test]
fn the_event_has_the_names_of_the_contract() {
    let mut request = with_body(
        "(ctx.event.type, ctx.event.tag, ctx.event.pull_request.labels, ctx.event.pull_request.head.repository, \
         ctx.event.pull_request.base.repository, ctx.event.pull_request.fork, ctx.event.issue, ctx.event.payload)",
    );
    request.event_json = Some(pull_request());
    let expected = "('pull_request', None, ['bug'], 'a/b', None, True, None, {})";
    assert_eq!(run_of(&evaluate(request)), expected);
}

#[test]
fn an_unknown_name_of_the_event_or_context_is_explained() {
    let mut request = with_body("ctx.event.brnch");
    request.event_json = Some(pull_request());
    let (_, message, hint) = problem(request);
    assert_eq!(message, "the event has no `brnch`");
    assert_eq!(hint, "did you mean `branch`?");
    assert_eq!(problem(with_body("ctx.evnt")).2, "did you mean `event`?");
    assert!(problem(with_body("ctx.secrets")).2.contains("secret("));
}

#[test]
fn inputs_are_read_only() {
    let mut request = with_body(
        "(ctx.inputs['env'], ctx.inputs.get('x', 3), sorted(ctx.inputs), dict(ctx.inputs)['n'])",
    );
    request.inputs_json = json!({"env": "prod", "n": {"a": [1.5, null, true]}}).to_string();
    assert_eq!(run_of(&evaluate(request)), "('prod', 3, ['env', 'n'], {'a': [1.5, None, True]})");
    let source = b"def workflow(ctx):\n    ctx.inputs['a'] = 1\n";
    assert_eq!(problem(self::request("ci.plue.py", source)).0, "PLUE-E0026");
    let source = b"def workflow(ctx):\n    ctx.event = 1\n";
    assert_eq!(problem(self::request("ci.plue.py", source)).0, "PLUE-E0026");
}

#[test]
fn modules_of_the_library_are_imported_once_by_plain_name() {
    let mut request = request(
        ".plue/ci.plue.py",
        b"import shared\nfrom shared import step\nimport other\n\
          def workflow():\n    assert shared.step is step and other.COUNT == shared.COUNT == [1]\n    \
          return Plan('x', steps=[step('a')])\n",
    );
    let library = [
        (
            "shared",
            "COUNT = []\nCOUNT.append(1)\ndef step(id):\n    return Step.bash(id, 'true')\n",
        ),
        ("other", "from shared import COUNT\n"),
        ("broken", "this is not read, because nobody imports it\n"),
    ];
    for (name, text) in library {
        let path = format!(".plue/lib/{name}.py");
        request.sources.insert(path, Bytes(text.as_bytes().to_vec()));
    }
    assert_eq!(run_of(&evaluate(request)), "true");
}

#[test]
fn a_module_of_the_library_obeys_the_same_policy_and_its_place_is_shown() {
    let mut request =
        request("ci.plue.py", b"import helper\ndef workflow():\n    return helper.go()\n");
    let path = ".plue/lib/helper.py".to_owned();
    request.sources.insert(path.clone(), Bytes(b"import os\n".to_vec()));
    let shown = |request: &EvalRequest| match evaluate(request.clone()).outcome {
        Some(EvalOutcome::Failed { diagnostics_json }) => {
            serde_json::from_str::<serde_json::Value>(&diagnostics_json).unwrap()[0].clone()
        }
        other => panic!("{other:?}"),
    };
    let problem = shown(&request);
    assert_eq!(problem["code"], "PLUE-E0017");
    assert_eq!(problem["span"]["file"], ".plue/lib/helper.py");
    request.sources.insert(path, Bytes(b"def go():\n    return 1 / 0\n".to_vec()));
    let problem = shown(&request);
    assert_eq!(problem["span"]["file"], ".plue/lib/helper.py");
    assert_eq!((&problem["span"]["line"], &problem["span"]["column"]), (&json!(2), &json!(12)));
    assert_eq!(problem["related"][0]["span"]["file"], "ci.plue.py");
    assert_eq!(problem["related"][0]["message"], "called from `workflow`");
}

#[test]
fn modules_that_import_each_other_in_a_circle_are_refused() {
    let mut request = request("ci.plue.py", b"import a\ndef workflow():\n    return None\n");
    for (name, text) in [("a", "import b\n"), ("b", "import a\n")] {
        let path = format!(".plue/lib/{name}.py");
        request.sources.insert(path, Bytes(text.as_bytes().to_vec()));
    }
    let (code, message, _) = problem(request);
    assert_eq!(code, "PLUE-E0021");
    assert_eq!(message, "modules import each other in a circle: a → b → a");
}

#[test]
fn the_same_request_gives_the_same_bytes_in_every_process() {
    let mut request = with_body("sorted({'a', 'b', 'c'}) + [ctx.event.sha]");
    request.event_json = Some(pull_request());
    let requests = vec![request; 3];
    let mut all = evaluate_all(&requests, 0);
    all.extend(evaluate_all(&requests, 99));
    assert!(all.iter().all(|observed| *observed == all[0] && observed.outcome.is_some()));
}
