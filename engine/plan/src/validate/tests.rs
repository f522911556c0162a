//! Limits, places, hints and hostile plans; the plain cases are the examples in `docs/errors`.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::{
    Code, Diagnostic, Plan, Span, codes,
    codes::tests::{ToyLanguage, problems},
    limits,
    validate::{MAX_PROBLEMS, SourceMap, did_you_mean, validate, validate_with},
};

fn plan(json: &Json) -> Plan {
    Plan::from_json(json.to_string().as_bytes()).unwrap()
}

fn check(json: &Json) -> Vec<Diagnostic> {
    validate_with(&plan(json), &SourceMap::default(), &ToyLanguage)
}

fn codes_of(json: &Json) -> Vec<Code> {
    check(json).into_iter().map(|found| found.code).collect()
}

fn steps(count: usize) -> Vec<Json> {
    (0..count).map(|n| json!({"id": format!("s{n}"), "kind": "bash", "run": "true"})).collect()
}

fn with_steps(steps: &[Json]) -> Json {
    json!({"version": 1, "name": "x", "steps": steps})
}

fn one(step: &Json) -> Json {
    with_steps(std::slice::from_ref(step))
}

#[test]
fn limits_are_inclusive_with_their_own_codes() {
    let at = |count| with_steps(&steps(count));
    assert_eq!(codes_of(&at(limits::MAX_STEPS)), []);
    assert_eq!(codes_of(&at(limits::MAX_STEPS + 1)), [codes::TOO_MANY_STEPS]);

    let at = |count| {
        let triggers = vec![json!({"on": "push"}); count];
        json!({"version": 1, "name": "x", "steps": steps(1), "triggers": triggers})
    };
    assert_eq!(codes_of(&at(limits::MAX_TRIGGERS)), []);
    let beyond = codes_of(&at(limits::MAX_TRIGGERS + 1));
    assert_eq!(beyond, [codes::TOO_MANY_TRIGGERS]);

    let at = |count: usize| {
        let mut steps = steps(count + 1);
        let ids: Vec<String> = (0..count).map(|n| format!("s{n}")).collect();
        steps[count]["depends_on"] = json!(ids);
        with_steps(&steps)
    };
    assert_eq!(codes_of(&at(limits::MAX_DEPENDENCIES)), []);
    let beyond = codes_of(&at(limits::MAX_DEPENDENCIES + 1));
    assert_eq!(beyond, [codes::TOO_MANY_DEPENDENCIES]);
}

#[test]
fn each_text_has_its_limit() {
    let run = |size| one(&json!({"id": "a", "kind": "bash", "run": "#".repeat(size)}));
    assert_eq!(codes_of(&run(limits::MAX_SCRIPT_BYTES)), []);
    let beyond = codes_of(&run(limits::MAX_SCRIPT_BYTES + 1));
    assert_eq!(beyond, [codes::TEXT_TOO_LARGE]);

    let when = |size| {
        let when = " ".repeat(size - 1) + "1";
        one(&json!({"id": "a", "kind": "bash", "run": "true", "when": when}))
    };
    assert_eq!(codes_of(&when(limits::MAX_EXPRESSION_BYTES)), []);
    let beyond = codes_of(&when(limits::MAX_EXPRESSION_BYTES + 1));
    assert_eq!(beyond, [codes::EXPRESSION_TOO_LARGE]);

    let id = |size| one(&json!({"id": "a".repeat(size), "kind": "bash", "run": "true"}));
    assert_eq!(codes_of(&id(limits::MAX_ID_LEN)), []);
    assert_eq!(codes_of(&id(limits::MAX_ID_LEN + 1)), [codes::BAD_ID]);

    let name = |size| json!({"version": 1, "name": "é".repeat(size), "steps": steps(1)});
    assert_eq!(codes_of(&name(limits::MAX_NAME_LEN)), []);
    assert_eq!(codes_of(&name(limits::MAX_NAME_LEN + 1)), [codes::NAME_LENGTH]);
}

#[test]
fn names_of_steps_are_texts_with_references() {
    let name = |name: Json| one(&json!({"id": "a", "kind": "bash", "run": "true", "name": name}));
    for fits in [json!("Build"), json!({"$template": "v${event.sha}"}), json!({"$expr": "visit"})] {
        assert_eq!(codes_of(&name(fits.clone())), [], "{fits}");
    }
    let long = |key: &str| json!({key: "1".repeat(limits::MAX_NAME_LEN + 1)});
    for (wrong, code) in [
        (json!({"$secret": "TOKEN"}), codes::SECRET_AS_NAME),
        (json!({"$secret": "TOKEN", "x": 1}), codes::BAD_REFERENCE),
        (json!(5), codes::NOT_A_PLAN),
        (json!(["a"]), codes::NOT_A_PLAN),
        (json!({"$template": "a\n${visit}"}), codes::FORBIDDEN_CHARACTER),
        (json!({"$template": " "}), codes::NAME_LENGTH),
        (long("$template"), codes::NAME_LENGTH),
        (long("$expr"), codes::NAME_LENGTH),
    ] {
        assert_eq!(codes_of(&name(wrong.clone())), [code], "{wrong}");
    }
}

#[test]
fn plans_with_plain_names_keep_their_bytes() {
    let json = r#"{"name":"x","steps":[{"id":"a","kind":"bash","name":"Build it","run":"true"}],"version":1}"#;
    let hashed = crate::canonical::HashedPlan::new(Plan::from_json(json.as_bytes()).unwrap());
    assert_eq!(String::from_utf8(hashed.unwrap().bytes).unwrap(), json);
}

#[test]
fn plans_above_16_mib_are_refused() {
    let text = "#".repeat(limits::MAX_SCRIPT_BYTES);
    let steps: Vec<Json> =
        (0..17).map(|n| json!({"id": format!("s{n}"), "kind": "bash", "run": text})).collect();
    let bytes = with_steps(&steps).to_string();
    let parsed = Plan::from_json(bytes.as_bytes()).map_err(|error| error.code);
    assert_eq!(parsed, Err(codes::IR_TOO_LARGE));
    let plan: Plan = serde_json::from_str(&bytes).unwrap();
    let hashed = crate::canonical::HashedPlan::new(plan).map_err(|error| error.code);
    assert_eq!(hashed.map(|_| ()), Err(codes::IR_TOO_LARGE));
}

#[test]
fn row_1_16_all_problems_are_reported_at_once() {
    let found = codes_of(&json!({"version": 1, "name": "", "steps": [
        {"id": "a b", "kind": "bash", "run": "", "timeout": "x"},
        {"id": "c", "kind": "python", "depends_on": ["c", "d"]},
        {"id": "c", "kind": "bash", "run": "true", "outputs": {"type": 5}},
    ]}));
    let expected = [
        codes::NAME_LENGTH,
        codes::BAD_ID,
        codes::BAD_DURATION,
        codes::EMPTY_COMMAND,
        codes::PYTHON_SOURCE,
        codes::BAD_SCHEMA,
        codes::DUPLICATE_ID,
        codes::SELF_DEPENDENCY,
        codes::UNKNOWN_DEPENDENCY,
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_duplicate_id_shows_both_places() {
    let step = json!({"id": "a", "kind": "bash", "run": "true"});
    let plan = plan(&with_steps(&[step.clone(), step]));
    let mut places = SourceMap::default();
    let spans = vec![Span::at("ci.plue.py", 3, 5), Span::at("ci.plue.py", 9, 5)];
    places.steps.insert("a".into(), spans);
    let found = validate(&plan, &places);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].span, Some(Span::at("ci.plue.py", 9, 5)));
    assert_eq!(found[0].related[0].span, Span::at("ci.plue.py", 3, 5));
}

#[test]
fn slips_of_the_finger_get_a_suggestion() {
    assert_eq!(did_you_mean("biuld", ["test", "build"]), Some("build"));
    assert_eq!(did_you_mean("Tests", ["test", "build"]), Some("test"));
    assert_eq!(did_you_mean("deploy", ["test", "build"]), None);
    let found = check(&with_steps(&[
        json!({"id": "build", "kind": "bash", "run": "true"}),
        json!({"id": "x", "kind": "bash", "run": "true", "depends_on": ["biuld"]}),
    ]));
    assert_eq!(found[0].hint.as_deref(), Some("did you mean `build`?"));
    let found = problems(r#"{"version":1,"name":"x","stepz":[]}"#);
    assert_eq!(found[0].hint.as_deref(), Some("did you mean `steps`?"));
    let found = problems(
        r#"{"version":1,"name":"x","steps":[{"id":"a","kind":"bash","run":"t","tiemout":"1s"}]}"#,
    );
    assert_eq!(found[0].hint.as_deref(), Some("did you mean `timeout`?"));
    assert!(found[0].message.contains("\"a\""), "{}", found[0].message);
}

#[test]
fn messages_omit_terminal_codes_and_bidi_marks() {
    let id = "a\u{1b}[31m\u{202e}\u{200b}".to_owned() + &"y".repeat(100_000);
    for found in check(&one(&json!({"id": id, "kind": "bash", "run": "true"}))) {
        let text = found.to_string();
        assert!(text.chars().all(|c| !crate::shown::is_invisible(c)), "{text:?}");
        assert!(text.len() < 1_000);
    }
}

#[test]
fn hostile_plans_yield_bounded_problems_and_time() {
    let ids: Vec<String> = (0..200).map(|n| format!("unknown{n}")).collect();
    let mut steps = steps(200);
    for step in &mut steps {
        step["depends_on"] = json!(ids);
    }
    let found = check(&with_steps(&steps));
    assert_eq!(found.len(), MAX_PROBLEMS + 1);
    assert_eq!(found[MAX_PROBLEMS].code, codes::MORE_PROBLEMS);
}

#[test]
fn expressions_are_judged_by_what_has_ended() {
    let step = |id: &str, needs: &[&str], when: &str| json!({"id": id, "kind": "bash", "run": "true", "depends_on": needs, "when": when});
    let json = json!({"version": 1, "name": "x",
    "env": {"A": {"$expr": "steps.a"}},
    "outputs": {"ok": {"$expr": "steps.c"}, "late": {"$expr": "steps.end"}},
    "inputs": {"known": {}},
    "hooks": {
        "on_start": [step("begin", &[], "steps.a")],
        "on_complete": [step("end", &[], "steps.a && steps.begin")],
    },
    "steps": [
        step("a", &[], "steps.begin && inputs.known"),
        step("b", &["a"], "1"),
        step("c", &["b"], "steps.a && steps.b"),
        step("d", &["a"], "steps.b"),
        step("e", &[], "steps.e"),
        step("f", &[], "inputs.knwon"),
        {"id": "g", "kind": "bash", "run": "true", "env": {"X": {"$template": "v${steps.a}"}}},
    ]});
    let found: Vec<String> =
        check(&json).into_iter().map(|found| format!("{} {}", found.code, found.message)).collect();
    insta::assert_snapshot!(found.join("\n"), @"
    PLUE-P0030 `env.A` reads `a` at position 1, which need not have ended then
    PLUE-P0030 `outputs.late` reads `end` at position 1, which need not have ended then
    PLUE-P0030 step `d`: `when` reads `b` at position 1, which need not have ended then
    PLUE-P0030 step `e`: `when` reads `e` at position 1, which need not have ended then
    PLUE-P0031 step `f`: `when` reads `knwon` at position 1, which is no input of the plan
    PLUE-P0030 step `g`: `env.X` reads `a` at position 4, which need not have ended then
    PLUE-P0030 step `begin`: `when` reads `a` at position 1, which need not have ended then
    ");
}

#[test]
fn row_4_05_key_writers_need_an_order_or_reducer() {
    let step = |id: &str, needs: &[&str], writes: &str| json!({"id": id, "kind": "bash", "run": "true", "depends_on": needs, "writes": writes});
    let found = |merge: &str, steps: Json| {
        let context = json!({"k": {"merge": merge}, "free": {"merge": "map"}});
        let plan = json!({"version": 1, "name": "x", "context": context, "steps": steps});
        let found = check(&plan).into_iter().map(|found| found.to_string().replace('\n', " "));
        found.collect::<Vec<_>>().join(" | ")
    };
    let parallel = json!([
        step("a", &[], "k"),
        step("b", &[], "k"),
        step("c", &[], "free"),
        step("d", &[], "free")
    ]);
    for merge in ["list", "map", "last"] {
        assert_eq!(found(merge, parallel.clone()), "");
    }
    let told = found("error", parallel);
    let parts = ["PLUE-P0086", "step `b`: writes the context key `k`, as step `a` does", "`merge`"];
    assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    let chain = json!([
        step("c", &["b"], "k"),
        step("b", &["x"], "free"),
        step("x", &["a"], "k"),
        step("a", &[], "k")
    ]);
    assert_eq!(found("error", chain), "");
    let fork = json!([
        step("a", &[], "k"),
        step("b", &["a"], "k"),
        step("c", &["a"], "k"),
        step("d", &["b", "c"], "k")
    ]);
    let told = found("error", fork);
    assert!(told.contains("step `c`") && told.matches("PLUE-P0086").count() == 1, "{told}");
}

#[test]
fn row_4_04_keys_are_read_behind_their_writers() {
    let step = |id: &str, needs: &[&str], reads: &str| json!({"id": id, "kind": "bash", "run": "true", "depends_on": needs, "when": reads});
    let writer = |id: &str, needs: &[&str]| json!({"id": id, "kind": "bash", "run": "true", "depends_on": needs, "writes": "k"});
    let json = json!({"version": 1, "name": "x",
    "context": {"k": {"merge": "list"}, "unused": {}, "variables": {}, "a b": {}},
    "env": {"A": {"$expr": "context.k"}},
    "outputs": {"ok": {"$expr": "context.k"}},
    "hooks": {
        "on_start": [step("begin", &[], "context.k")],
        "on_complete": [step("end", &[], "context.k"), {"id": "hook", "kind": "bash", "run": "true", "writes": "k"}],
    },
    "steps": [
        writer("a", &[]),
        writer("b", &["a"]),
        step("c", &["b"], "context.k && context.k"),
        writer("d", &["c"]),
        step("e", &["a"], "context.k && context.k"),
        step("f", &["b", "d"], "context.unused && context.kk"),
        step("g", &["e", "f"], "context.k"),
    ]});
    let found: Vec<String> =
        check(&json).into_iter().map(|found| format!("{} {}", found.code, found.message)).collect();
    insta::assert_snapshot!(found.join("\n"), @"
    PLUE-P0062 the context key `a b`: an id has letters a-z and A-Z, digits, `_`, `.` and `-`, and starts with a letter, digit or `_`; found ' ' at position 1
    PLUE-P0062 the context key `variables` has a reserved name
    PLUE-P0085 step `hook`: writes the context key `k`, and is a hook
    PLUE-P0030 `env.A` reads `k` at position 1, a context key that no step writes before that
    PLUE-P0030 step `e`: `when` reads `k` at position 1, a context key that step `b` may write at the same time
    PLUE-P0030 step `f`: `when` reads `unused` at position 1, a context key that no step writes before that
    PLUE-P0031 step `f`: `when` reads `kk` at position 19, which is no context key of the plan
    PLUE-P0030 step `begin`: `when` reads `k` at position 1, a context key that no step writes before that
    ");
}

#[test]
fn plans_of_writers_and_readers_take_bounded_time() {
    let mut steps = steps(1_000);
    for (at, step) in steps.iter_mut().enumerate() {
        step["writes"] = json!("k");
        step["when"] = json!(vec!["context.k"; 50].join(" && "));
        if at > 0 {
            step["depends_on"] = json!([format!("s{}", at - 1)]);
        }
    }
    let plan = json!({"version": 1, "name": "x", "context": {"k": {}}, "steps": steps});
    assert_eq!(codes_of(&plan), [codes::NOT_UPSTREAM]);
}

#[test]
fn nul_is_found_wherever_it_hides() {
    for (field, value) in [("args", json!(["a\u{0}b"])), ("env", json!({"A": {"deep": ["\u{0}"]}}))]
    {
        let mut step = json!({"id": "a", "kind": "python", "code": "1"});
        step[field] = value;
        assert_eq!(codes_of(&one(&step)), [codes::NUL_CHARACTER], "{field}");
    }
    let innocent = json!({"id": "a", "kind": "python", "code": r"'\\u0000'"});
    assert_eq!(codes_of(&one(&innocent)), []);
}

#[test]
fn deep_json_is_refused_before_parsing() {
    let mut text = String::new();
    write!(text, r#"{{"version":1,"name":{}1{}}}"#, "[".repeat(90), "]".repeat(90)).unwrap();
    assert_eq!(problems(&text)[0].code, codes::VALUE_TOO_DEEP);
    let text = "[".repeat(100_000);
    assert_eq!(problems(&text)[0].code, codes::VALUE_TOO_DEEP);
}

#[test]
fn a_plan_that_is_fine_is_fine() {
    let json = json!({"version": 1, "name": "CI Pipeline — grüße 👩‍💻", "description": "a\nb\n",
    "triggers": [{"on": "push", "branches": ["main"]}, {"on": "pull_request"}],
    "steps": [
        {"id": "test", "kind": "bash", "run": "npm test"},
        {"id": "build", "kind": "bash", "run": "npm run build", "depends_on": ["test"]},
        {"id": "review", "kind": "llm", "prompt": "Review the code changes",
         "depends_on": ["test"]},
    ]});
    assert_eq!(check(&json), []);
}

#[test]
fn names_are_compared_within_a_budget() {
    // 5,000 long ids and 200 slips: 4 billion comparisons of characters if unbounded.
    let id = |n: usize| format!("{n:0>60}");
    let ids: Vec<String> = (0..limits::MAX_STEPS).map(id).collect();
    let mut left: Vec<Json> =
        ids.iter().map(|id| json!({"id": id, "kind": "bash", "run": "true"})).collect();
    let unknown: Vec<String> = (0..200).map(|n| format!("x{n:0>59}")).collect();
    left[0]["depends_on"] = json!(unknown);
    let found = check(&with_steps(&left));
    assert_eq!(found.len(), 200);
    let suggested = |found: &Diagnostic| found.hint.as_ref().is_some_and(|h| h.contains("mean"));
    assert!(suggested(&found[0]) && !suggested(&found[199]));
}

proptest! {
    #[test]
    fn no_text_makes_a_check_panic(text in ".{0,40}", cron in "[0-9*/,LW#?A-Z -]{0,24}") {
        let step = json!({"id": text, "kind": "python", "code": text, "call": text, "name": text,
            "when": text, "env": {&text: text}, "secrets": [text], "timeout": text, "cwd": text,
            "image": text, "runner": text, "artifacts": [text], "retry": {"on": [text]},
            "outputs": {"$ref": text, "type": text, "required": [text]},
            "cache": {"key": text, "paths": [text]}, "resources": {&text: text}});
        let triggers = json!([
            {"on": "schedule", "cron": text, "tz": text}, {"on": "schedule", "cron": cron},
            {"on": "push", "branches": [text]}, {"on": "webhook", "name": text},
            {"on": "workflow", "name": text, "outcome": text}, {"on": "event", "topic": text}]);
        let json = json!({"version": 1, "name": text, "steps": [step], "triggers": triggers});
        for found in check(&json) {
            let shown = found.to_string();
            prop_assert!(!shown.chars().any(crate::shown::is_forbidden), "{shown:?}");
        }
    }
}
