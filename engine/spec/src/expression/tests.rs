//! Tests of parsing and evaluation.

use plue_plan::{
    Value,
    budget::{Budget, Meter, Stopped, Unit},
};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{Root, resolve, scope::StepValues};

fn with_scope<R>(test: impl FnOnce(&Scope<'_>) -> R) -> R {
    let output = json!({"risk": 4, "files": ["a.rs", "b.md"], "ok": true, "none": null});
    let (text, null) = (json!("just text"), Json::Null);
    let event = json!({"type": "push", "branch": "main", "payload": {"k": 1}});
    let inputs = json!({"env": "prod", "n": 2.5, "list": [1, 2, 3]});
    let env = json!({"HOME": "/root"});
    let step = |status, output| StepValues { status, output, error: None, visit: 1, attempts: 2 };
    let failed = StepValues { error: Some("exit 1".into()), ..step("failed", &null) };
    let scope = Scope::new()
        .step("plan", step("success", &output))
        .step("x-y", step("success", &text))
        .step("bad", failed)
        .event(&event)
        .inputs(&inputs)
        .env(&env)
        .turn(3, 1);
    test(&scope)
}

fn eval(source: &str) -> Result<Json, String> {
    let expression = Expression::parse(source).map_err(|error| error.to_string())?;
    with_scope(|scope| {
        let value = expression.evaluate(scope, &mut Reads::default());
        value.map_err(|error| error.to_string())
    })
}

fn fails(source: &str, part: &str) {
    let message = eval(source).unwrap_err();
    assert!(message.contains(part), "{source}: {message}");
}

#[test]
fn expressions_read_steps_event_inputs_env_turn() {
    for source in [
        "steps.plan.status == 'success'",
        "steps.plan.output.risk > 3",
        "steps[\"x-y\"].output == 'just text'",
        "steps['x-y'].attempts == 2",
        "steps.bad.error == 'exit 1'",
        "steps.plan.output.files[1] == 'b.md'",
        "event.branch == 'main' && event.tag == null && event.payload.k == 1",
        "inputs.env == 'prod' && inputs['n'] > 2 && env.HOME == '/root'",
        "visit == 3 && attempt == 1",
        "'main' in [event.branch] && 'risk' in steps.plan.output",
    ] {
        assert_eq!(eval(source), Ok(json!(true)), "{source}");
    }
}

#[test]
fn operators_and_functions_follow_cel() {
    for (source, value) in [
        ("1 + 2 * 3", json!(7)),
        ("7 / 2", json!(3)),
        ("-7 % 3", json!(-1)),
        ("1 + 0.5", json!(1.5)),
        ("2 == 2.0", json!(true)),
        ("'a' + \"b\" + r'\\n'", json!("ab\\n")),
        ("[1] + [2]", json!([1, 2])),
        ("{'a': 1}.a", json!(1)),
        ("true ? 'yes' : 'no'", json!("yes")),
        ("!(1 < 2)", json!(false)),
        ("'b' > 'a'", json!(true)),
        ("inputs.n == 'a'", json!(false)),
        ("inputs.list.map(x, x * 2)", json!([2, 4, 6])),
        ("inputs.list.map(x, x > 1, x * 2)", json!([4, 6])),
        ("inputs.list.filter(x, x != 2)", json!([1, 3])),
        ("inputs.list.all(x, x > 0)", json!(true)),
        ("inputs.list.exists(x, x == 2)", json!(true)),
        ("inputs.list.exists_one(x, x == 2)", json!(true)),
        ("inputs.list.map(x, inputs.list.map(y, x * y))", json!([[1, 2, 3], [2, 4, 6], [3, 6, 9]])),
        ("has(steps.plan.output.risk)", json!(true)),
        ("has(steps.plan.output.nope)", json!(false)),
        ("has(event.pull_request) ? 1 : 2", json!(2)),
        ("size('äö') + size([1]) + size({})", json!(3)),
        ("uppercase('straße')", json!("STRASSE")),
        ("'a,b'.split(',').join('-')", json!("a-b")),
        ("'release/1.2'.startsWith('release/')", json!(true)),
        ("'v1.2.3'.matches('^v[0-9]+')", json!(true)),
        ("'hello'.substring(1, 3)", json!("el")),
        ("'hello'.replace('l', 'L')", json!("heLLo")),
        ("int('42') + int(3.9)", json!(45)),
        ("string(1.0) + string(true)", json!("1true")),
        ("fromJson('{\"a\": [1]}').a[0]", json!(1)),
        ("[3, 1, 2].sort().first()", json!(1)),
        ("max([1, 5, 2]) + sum([1, 2])", json!(8)),
        ("keys({'b': 1, 'a': 2})", json!(["a", "b"])),
    ] {
        assert_eq!(eval(source), Ok(value), "{source}");
    }
}

#[test]
fn deciding_operands_win_over_errors() {
    assert_eq!(eval("1 / 0 == 1 || true"), Ok(json!(true)));
    assert_eq!(eval("false && 1 / 0 == 1"), Ok(json!(false)));
    assert_eq!(eval("[0, 1].exists(x, 1 / x == 1)"), Ok(json!(true)));
    fails("1 / 0 == 1 || false", "divides by zero");
    fails("[0, 2].exists(x, 1 / x == 1)", "divides by zero");
}

#[test]
fn what_is_missing_is_named() {
    fails("steps.plan.output.rsk > 3", "`steps.plan.output.rsk` is not there");
    fails("steps.plan.output.rsk > 3", "did you mean `risk`?");
    fails("steps.plna.status == 'failed'", "there is no step `plna`; did you mean `plan`?");
    fails("steps.plan.outputs", "did you mean `output`?");
    fails("steps['x-y'].output.a", "the output is a text");
    fails("steps.bad.output.a", "the step has no output");
    fails("event.brnch", "`event.brnch` is not there");
    fails("event.pull_request.number", "a field of null");
    fails("inputs.envv", "did you mean `env`?");
    fails("inputs.list[7]", "the list has 3 elements");
    fails("[1].map(x, x.y)", "a field of a number");
}

#[test]
fn unknown_names_are_found_by_parsing() {
    for (source, offset, part) in [
        ("1 + branch", 4, "did you mean `event.branch`?"),
        ("step.a.status == 1", 0, "did you mean `steps`?"),
        ("steps.a.status == success", 18, "a text is written 'success'"),
        ("'ä' == shout('a')", 7, "there is no function `shout`"),
        ("'a'.startswith('b')", 4, "did you mean `startsWith`?"),
        ("size(1, 2)", 0, "`size` does not take 2 values"),
        ("steps[inputs.x].status", 0, "a step is named by its id"),
        ("size(steps)", 5, "a step is named by its id"),
        ("[1].map(event, event)", 8, "cannot be the name of a variable"),
        ("Foo{a: 1}", 0, "makes a message"),
    ] {
        let error = Expression::parse(source).unwrap_err();
        assert!(error.message.contains(part), "{source}: {error}");
        assert_eq!(error.offset, offset, "{source}: {error}");
    }
}

#[test]
fn syntax_errors_have_a_location() {
    for (source, offset) in
        [("", 0), ("1 +", 3), ("'ä' 'b'", 4), ("(1", 2), ("a ==\n ,", 6), ("'abc", 0)]
    {
        let error = Expression::parse(source).unwrap_err();
        assert_eq!(error.offset, offset, "{source}: {error}");
        assert!(!error.message.is_empty());
    }
}

#[test]
fn references_are_the_steps_and_inputs_named() {
    let source = "steps.a.output + steps['b-c'].output + inputs.x + event.steps + [1].map(x, x)[0]";
    let expression = Expression::parse(source).unwrap();
    let found: Vec<_> =
        expression.references().iter().map(|r| (r.root, r.name.as_str(), r.offset)).collect();
    let expected = [(Root::Step, "a", 0), (Root::Step, "b-c", 17), (Root::Input, "x", 39)];
    assert_eq!(found, expected);
}

#[test]
fn reads_are_recorded_with_their_values_once_each() {
    let source = "steps.plan.output.risk > 3 && steps.plan.output.risk < 9 || inputs.env == 'x'";
    let expression = Expression::parse(source).unwrap();
    let mut reads = Reads::default();
    with_scope(|scope| expression.truth(scope, &mut reads)).unwrap();
    let read = |path: &str, value| crate::Read { path: path.to_owned(), value };
    assert_eq!(reads.values, [read("steps.plan.output.risk", json!(4))]);
}

#[test]
fn conditions_are_boolean_only() {
    let expression = Expression::parse("steps.plan.output.risk").unwrap();
    let error = with_scope(|scope| expression.truth(scope, &mut Reads::default())).unwrap_err();
    assert_eq!(error.to_string(), "the condition is a number, not true or false");
}

#[test]
fn limits_hold_for_length_tokens_nesting_and_conditionals() {
    let long = format!("'{}'", "x".repeat(MAX_BYTES));
    let sum = format!("1{}", " + 1".repeat(MAX_TOKENS / 2 - 1));
    let nested = format!("{}1{}", "[".repeat(300), "]".repeat(300));
    let choices = format!("{}1", "true ? 1 : ".repeat(MAX_CONDITIONALS + 1));
    let many = "1 + ".repeat(MAX_TOKENS);
    for (source, part) in [
        (long, "the limit is 65536"),
        (sum, "nested deeper than 200"),
        (nested, "recursion limit"),
        (choices, "more than 64 `? :`"),
        (many, "more than 4000 words"),
        ("!-".repeat(1_000) + "1", "nested deeper than 200"),
    ] {
        let error = Expression::parse(&source).unwrap_err();
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn an_expression_cannot_do_unbounded_work() {
    let list = "[1,1,1,1,1,1,1,1,1,1]";
    let deep = format!(
        "{list}.map(a, {list}.map(b, {list}.map(c, {list}.map(d, {list}.map(e, {list}.map(f, 1))))))"
    );
    fails(&deep, "more work than is allowed");
    let doubled = "[1,1,1,1,1,1,1,1,1,1]".to_owned();
    let wide = format!(
        "{doubled}.map(a, {doubled}.map(b, {doubled}.map(c, {doubled}.map(d, 'x'.replace('x', toJson({doubled})) ))))"
    );
    let grown = "fromJson(toJson([1,1,1,1]))".to_owned();
    assert!(eval(&grown).is_ok());
    let _bounded_either_way = eval(&wide);
    fails("'a'.matches('(((a{100}){100}){100})')", "no regular expression");
}

/// Each of these does as much as it can within the limit; together they must not be noticed.
#[test]
fn work_that_is_thrown_away_is_paid_for() {
    let long: Vec<u32> = (0..100_000).collect();
    let keys: serde_json::Map<String, Json> =
        (0..50_000).map(|n| (format!("key{n}"), Json::Null)).collect();
    let inputs = json!({"long": long, "keys": keys, "text": "x".repeat(1_000_000)});
    let scope = Scope::new().inputs(&inputs);
    for source in [
        "inputs.long.exists(x, inputs.long.exists(y, true) && false)",
        "inputs.long.exists(x, inputs.keys.nope == 1)",
        "inputs.long.exists(x, steps.nope.output == 1)",
        "inputs.long.exists(x, inputs.text < inputs.text)",
        "inputs.long.exists(x, inputs.text + 'a' == inputs.text)",
        "inputs.long.exists(x, inputs.text.split('x').size() == 0)",
        "inputs.long.exists(x, size(inputs.text) == 0)",
        "inputs.long.exists(x, x in inputs.long.map(y, 0 - y - 1))",
        "inputs.long.exists(x, inputs.text.matches('y'))",
        "inputs.long.map(x, inputs.text)",
        "inputs.long.map(x, inputs.keys)",
    ] {
        let expression = Expression::parse(source).unwrap();
        let error = expression.evaluate(&scope, &mut Reads::default()).unwrap_err();
        assert_eq!(error, Error::TooCostly { limit: MAX_COST }, "{source}");
    }
}

#[test]
fn expressions_of_a_metered_scope_share_its_budget() {
    let list: Vec<u32> = (0..1_000).collect();
    let inputs = json!({"list": list});
    let sum = Expression::parse("inputs.list.map(x, x + 1).size()").unwrap();
    let evaluate = |meter: &Meter| {
        let scope = Scope::new().inputs(&inputs).metered(meter);
        sum.evaluate(&scope, &mut Reads::default())
    };
    let alone = Meter::new(Budget::of_steps(u64::MAX));
    assert_eq!(evaluate(&alone), Ok(json!(1_000)));
    let limit = 2 * alone.steps_used();
    let meter = Meter::new(Budget::of_steps(limit));
    assert_eq!([(); 2].map(|()| evaluate(&meter).is_ok()), [true; 2]);
    let stopped = Stopped::Exhausted { unit: Unit::Steps, limit };
    assert_eq!(evaluate(&meter), Err(Error::Stopped(stopped)));
    let source = Value::expr("1".repeat(20_001));
    let meter = Meter::new(Budget::of_steps(20_000));
    let read = resolve(&source, &Scope::new().metered(&meter), &mut Reads::default());
    assert!(matches!(read, Err(Error::Stopped(_))), "{read:?}");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(source in "\\PC{0,60}") {
        let _no_panic = Expression::parse(&source);
    }

    #[test]
    fn token_mixes_never_panic(
        parts in prop::collection::vec(prop::sample::select(vec![
            "steps", ".", "plan", "output", "[", "]", "(", ")", "{", "}", "'a'", "\"x-y\"", "1", "0",
            "2.5", "-", "!", "+", "*", "/", "%", "?", ":", ",", "==", "<", "&&", "||", " in ", "x",
            "inputs", "event", "map(x,", "all(x,", "size(", "has(", "null", "true", "b'x'", "1u",
            "substring(", "\u{e4}", "r'", "'''", "\\", "`", "9223372036854775807", ".sort()", "e5",
        ]), 0..14)
    ) {
        let _no_panic = eval(&parts.concat());
    }
}

#[test]
fn type_errors_are_refused_before_the_run() {
    for (source, offset, part) in [
        ("1 + 'a'", 2, "`+` does not take a number and a text"),
        ("visit + 1 + 'a'", 10, "`+` does not take"),
        ("!5", 0, "`!` takes true or false, and this is a number"),
        ("-'a'", 0, "`-` takes a number"),
        ("'a' && true", 4, "`&&` takes true or false, and this is a text"),
        ("steps.plan.status > 3", 18, "`>` does not take a text and a number"),
        ("steps.plan.visit == 'a'", 17, "a number and a text are never equal"),
        ("event.branch == 5", 13, "a text and a number are never equal"),
        ("uppercase(3)", 0, "`uppercase` takes a text, and this is a number"),
        ("uppercase('a') + uppercase(3)", 17, "`uppercase` takes a text"),
        ("[1].join(',') + 1", 14, "`+` does not take a text and a number"),
        ("'a'.b", 4, "a text has no field `b`"),
        ("steps.plan.outputs", 11, "a step has no field `outputs`; did you mean `output`?"),
        ("steps['x-y'].state == 'x'", 13, "a step has no field `state`"),
        ("steps.plan.status == 'succes'", 21, "did you mean 'success'?"),
        ("'done' != steps.plan.status", 0, "no step has the status 'done'"),
        ("1 ? 2 : 3", 2, "`? :` takes true or false"),
        ("'x' in 'xyz'", 4, "`in` takes a list or a map"),
        ("5[0]", 1, "`[…]` takes a list or a map"),
        ("visit.exists(x, x > 1)", 13, "only a list or map has elements"),
        ("[1].exists(x, x > 1) && [2].all(y, !'a')", 35, "`!` takes true or false"),
        ("[1].filter(x, true).map(x, x + 1) + 'a'", 34, "`+` does not take a list and a text"),
    ] {
        let error = Expression::parse(source).unwrap_err();
        assert!(error.message.contains(part), "{source}: {error}");
        assert_eq!(error.offset, offset, "{source}: {error}");
    }
}

#[test]
fn what_may_fit_is_left_to_the_run() {
    for source in [
        "steps.plan.output + 1",
        "steps.plan.output.risk > 3 && inputs.n > 2",
        "event.tag == null || event.tag.startsWith('v')",
        "(inputs.flag ? 1 : 'a') == 1",
        "default(steps.plan.output.x, 'none') == 'none'",
        "[1, 'a'].map(x, x)[0] + 1",
        "steps.plan.error == null",
        "size(steps.plan.output) > 2 && !has(steps.plan.output.x)",
        "[1].exists(x, x == 1) && [1].exists_one(x, x == 1) && [1].all(x, x == 1)",
        "min([1, 2]) + max(1, 2)",
    ] {
        assert!(Expression::parse(source).is_ok(), "{source}: {:?}", Expression::parse(source));
    }
}

#[test]
fn conditions_must_have_boolean_type() {
    for source in ["1", "'yes'", "visit + 1", "[true]", "steps.plan.status"] {
        let error = Expression::parse_condition(source).unwrap_err();
        assert!(error.message.contains("a condition is true or false"), "{source}: {error}");
    }
    for source in ["true", "inputs.deploy", "default(inputs.deploy, true)", "steps.plan.output"] {
        assert!(Expression::parse_condition(source).is_ok(), "{source}");
    }
}

#[test]
fn functions_match_their_names() {
    for (source, expected) in [
        ("length('åb')", json!(2)),
        ("upper('a') + lower('B') + capitalize('élan')", json!("AbÉlan")),
        ("concat('a', 1, true, null, [1])", json!("a1true[1]")),
        ("'a\nb\n'.lines()", json!(["a", "b"])),
        ("'abcdef'.truncate(4)", json!("abc…")),
        ("'abc'.truncate(3) + 'abc'.truncate(0)", json!("abc")),
        ("'abab'.lastIndexOf('b')", json!(3)),
        ("basename('a/b.txt') + basename('a/b/') + basename('/')", json!("b.txtb")),
        ("dirname('a/b/c') + dirname('c') + dirname('/c') + dirname('/')", json!("a/b.//")),
        ("ext('x/a.tar.gz') + ext('.profile') + ext('a')", json!(".gz")),
        ("stem('x/a.tar.gz') + stem('.profile')", json!("a.tar.profile")),
        ("[1, 2, 3].slice(1) + [1, 2, 3].slice(0, 1) + [1].slice(5, 9)", json!([2, 3, 1])),
        ("[[1], 2, [[3]]].flatten()", json!([1, 2, [3]])),
        ("min(3, 1, 2) + max([1, 5])", json!(6)),
        ("abs(-2) + floor(2.7) + ceil(0.2) + round(2.5)", json!(8)),
        ("json({'a': 1}) == toJson({'a': 1})", json!(true)),
        ("default(steps.plan.output.nothing, 'x')", json!("x")),
        ("default(steps.plan.output.none, 'x')", json!("x")),
        ("default(steps.plan.output.risk, 0)", json!(4)),
        ("coalesce(steps.plan.output.a, inputs.b, 'c')", json!("c")),
        ("coalesce(null, null)", json!(null)),
    ] {
        assert_eq!(eval(source), Ok(expected), "{source}");
    }
    fails(
        "default(steps.plan.output.a, steps.plan.output.b)",
        "`steps.plan.output.b` is not there",
    );
    fails("abs(-9223372036854775807 - 1)", "out of range");
}

/// Steps of which only those that are named may be looked up.
#[derive(Debug)]
struct Named(Json);

impl crate::StepSource for Named {
    fn step(&self, id: &str) -> Option<(&str, StepValues<'_>)> {
        assert_ne!(id, "untouched");
        let output = &self.0;
        let values = StepValues { status: "success", output, error: None, visit: 1, attempts: 1 };
        (id == "build").then_some(("build", values))
    }

    fn ids(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(["untouched", "build"].into_iter())
    }
}

#[test]
fn sourced_steps_are_looked_up_by_name() {
    let steps = Named(json!({"tag": 7}));
    let scope = Scope::new().steps_from(&steps);
    let value = |source| {
        let expression = Expression::parse(source).unwrap();
        expression.evaluate(&scope, &mut Reads::default()).map_err(|error| error.to_string())
    };
    assert_eq!(value("steps.build.output.tag + 1"), Ok(json!(8)));
    assert_eq!(value("has(steps.build)"), Ok(json!(true)));
    assert!(value("steps.buidl.output").unwrap_err().contains("build"));
}
