//! Tests of rendered templates.

use serde_json::json;

use super::*;

fn render(source: &str) -> Result<String, String> {
    let inputs = json!({"name": "plue", "n": 3, "list": [1, "a"], "none": null, "half": 0.5});
    let scope = Scope::new().inputs(&inputs);
    let template = Template::parse(source).map_err(|error| error.to_string())?;
    let rendered = template.render(&scope, &mut Reads::default());
    rendered.map_err(|error| error.to_string())
}

#[test]
fn expressions_become_text_inside_a_text() {
    assert_eq!(render("v${inputs.n}-${inputs.name}!").unwrap(), "v3-plue!");
    assert_eq!(render("${inputs.list} ${inputs.half}").unwrap(), "[1,\"a\"] 0.5");
    assert_eq!(render("[${inputs.none}]").unwrap(), "[]");
    assert_eq!(render("no parts, only $ and } and {").unwrap(), "no parts, only $ and } and {");
}

#[test]
fn two_dollars_before_a_brace_stand_for_one() {
    assert_eq!(render("$${inputs.n}").unwrap(), "${inputs.n}");
    assert_eq!(render("a $$${inputs.n} b").unwrap(), "a $${inputs.n} b");
    assert_eq!(render("$$").unwrap(), "$$");
}

#[test]
fn inner_braces_do_not_close_a_part() {
    assert_eq!(render("${'}' + {'a': '{'}.a}").unwrap(), "}{");
}

#[test]
fn errors_have_a_location_in_the_template() {
    let error = Template::parse("ä ${inputs.n} ${oops}").unwrap_err();
    assert_eq!(error.offset, 16);
    assert!(error.message.contains("oops"), "{error}");
    let error = Template::parse("ä ${inputs.n").unwrap_err();
    assert_eq!(error.offset, 2);
    assert!(error.message.contains("not closed"), "{error}");
    assert!(render("${inputs.nope}").unwrap_err().contains("inputs.nope"));
}

#[test]
fn references_carry_offsets_in_the_whole_template() {
    let template = Template::parse("ä ${steps.a.output} ${inputs.b}").unwrap();
    let found: Vec<_> = template.references().into_iter().map(|r| (r.name, r.offset)).collect();
    assert_eq!(found, [("a".to_owned(), 4), ("b".to_owned(), 22)]);
}
