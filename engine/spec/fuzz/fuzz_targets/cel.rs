//! Any text as an expression and as a template: parsing and evaluation end, within their limits.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use plue_spec::{Expression, Reads, Scope, StepValues, Template};
use serde_json::{Value, json};

static OUTPUT: LazyLock<Value> =
    LazyLock::new(|| json!({"n": 4, "list": [1, "a", null, {"k": [2.5]}], "text": "añb\n", "ok": true}));
static EVENT: LazyLock<Value> = LazyLock::new(|| json!({"type": "push", "branch": "main"}));
static INPUTS: LazyLock<Value> = LazyLock::new(|| json!({"a": "x", "n": -3, "list": ["b", "a"]}));

fuzz_target!(|text: &str| {
    let step = StepValues { status: "success", output: &OUTPUT, error: None, visit: 1, attempts: 1 };
    let scope = Scope::new()
        .step("a", step.clone())
        .step("x-y", step)
        .event(&EVENT)
        .inputs(&INPUTS)
        .turn(1, 1);
    let characters = text.chars().count();
    match Expression::parse(text) {
        Ok(expression) => drop(expression.evaluate(&scope, &mut Reads::default())),
        Err(error) => assert!(error.offset <= characters, "{error}"),
    }
    match Template::parse(text) {
        Ok(template) => drop(template.render(&scope, &mut Reads::default())),
        Err(error) => assert!(error.offset <= characters, "{error}"),
    }
});
