//! Partials and roles as callers put them together.

#![cfg(test)]

use plue_plan::Diagnostic;
use plue_prompts::{Partials, PromptFile, Role, Roles};
use serde_json::{Map, Value as Json, json};

fn partials(files: &[(&str, &str)]) -> Partials {
    let mut partials = Partials::new();
    for (name, text) in files {
        let file = format!(".plue/prompts/{name}.md");
        partials.insert(name, &file, text).unwrap();
    }
    partials
}

fn prompt(body: &str) -> PromptFile {
    PromptFile::parse("p.md", &format!("---\nname: p\n---\n{body}")).unwrap()
}

fn render(body: &str, data: Json, files: &[(&str, &str)]) -> Result<String, Vec<Diagnostic>> {
    let data: Map<String, Json> = serde_json::from_value(data).unwrap();
    prompt(body).render(&data, &partials(files))
}

fn shown(result: Result<String, Vec<Diagnostic>>) -> String {
    let lines: Vec<String> = result.unwrap_err().iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn a_partial_sees_the_inputs_and_keeps_its_last_line_end() {
    let files = [("head", "---\nname: head\n---\n# {{title}}\n")];
    let text = render("{{> head}}\nText {{title}}", json!({"title": "T"}), &files);
    assert_eq!(text.unwrap(), "# T\nText T");
}

#[test]
fn a_partial_takes_a_context_and_named_arguments() {
    let files = [("row", "{{name}}{{mark}}\n")];
    let data = json!({"l": [{"name": "a"}, {"name": "b"}]});
    let text = render("{{#each l}}\n{{> row this mark=\"!\"}}\n{{/each}}", data, &files);
    assert_eq!(text.unwrap(), "a!\nb!\n");
}

#[test]
fn an_indented_partial_indents_its_lines() {
    let text = render("list:\n  {{> rows}}\nend", json!({}), &[("rows", "- a\n- b\n")]);
    assert_eq!(text.unwrap(), "list:\n  - a\n  - b\nend");
}

#[test]
fn named_arguments_have_an_order_that_never_changes() {
    let files = [("p", "{{#each this}}{{@key}} {{/each}}")];
    for _ in 0..20 {
        let text = render("{{> p e=1 d=2 c=3 b=4 a=5}}", json!({"z": 0, "y": 0}), &files);
        assert_eq!(text.unwrap(), "z y a b c d e ");
    }
}

#[test]
fn a_problem_inside_a_partial_has_the_place_in_its_own_file() {
    let files = [("a", "{{> b}}"), ("b", "---\nname: b\n---\nx\n{{#if t}}\n  {{y}}{{/if}}")];
    let found = shown(render("{{> a}}", json!({"t": 1}), &files));
    assert!(found.starts_with(".plue/prompts/b.md:6:3: PLUE-T0020: `y`"), "{found}");
}

#[test]
fn unknown_partials_and_circles_are_reported_where_they_are_included() {
    let files = [("a", "{{> b}}\n{{> c}}"), ("b", "{{> a}}"), ("head", "")];
    let found = shown(render("{{> a}}{{> haed}}", json!({}), &files));
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 3, "{found}");
    assert!(lines[0].contains("b.md:1:1: PLUE-T0014") && lines[0].contains("a → b → a"));
    assert!(lines[1].contains("a.md:2:1: PLUE-T0013") && lines[1].contains("`c`"));
    assert!(lines[2].contains("p.md:4:8: PLUE-T0013") && lines[2].contains("`head`"));
}

#[test]
fn a_partial_does_not_see_inline_partials_and_has_none_of_its_own() {
    let body = "{{#*inline \"x\"}}x{{/inline}}{{> a}}";
    let found = shown(render(body, json!({}), &[("a", "{{> x}}")]));
    assert!(found.contains("PLUE-T0013"), "{found}");
    let inline = Partials::new().insert("a", "a.md", "{{#*inline \"x\"}}x{{/inline}}");
    assert_eq!(inline.unwrap_err()[0].code.as_str(), "PLUE-T0010");
    let same = shown(render(body, json!({}), &[("x", ""), ("a", "")]));
    assert!(same.contains("PLUE-T0024"), "{same}");
}

#[test]
fn a_long_chain_of_partials_is_nested_too_deep() {
    let names: Vec<String> = (0..200).map(|n| format!("p{n}")).collect();
    let texts: Vec<String> = (1..=200).map(|n| format!("{{{{> p{n}}}}}")).collect();
    let mut files: Vec<(&str, &str)> = Vec::new();
    for (name, text) in names.iter().zip(&texts) {
        files.push((name, text));
    }
    files.push(("p200", "end"));
    let found = shown(render("{{> p0}}", json!({}), &files));
    assert!(found.contains("PLUE-T0009"), "{found}");
}

#[test]
fn partials_that_double_each_other_stop_at_the_limit_of_work() {
    let names: Vec<String> = (0..60).map(|n| format!("p{n}")).collect();
    let texts: Vec<String> = (1..=60).map(|n| format!("{{{{> p{n}}}}}{{{{> p{n}}}}}")).collect();
    let mut files: Vec<(&str, &str)> = Vec::new();
    for (name, text) in names.iter().zip(&texts) {
        files.push((name, text));
    }
    files.push(("p60", ""));
    let found = shown(render("{{> p0}}", json!({}), &files));
    assert!(found.contains("PLUE-T0023"), "{found}");
}

#[test]
fn large_contexts_in_many_partials_stop_at_the_limit_of_work() {
    let data = json!({"o": {"big": "x".repeat(1_000_000)}, "l": vec![0; 10_000]});
    let found = shown(render("{{#each l}}{{> p ../o}}{{/each}}", data, &[("p", "")]));
    assert!(found.contains("PLUE-T0023"), "{found}");
}

#[test]
fn names_of_partials_are_checked() {
    let mut all = partials(&[("a", "")]);
    for (name, code) in [("a", "PLUE-T0024"), ("a b", "PLUE-T0005"), ("", "PLUE-T0005")] {
        let problems = all.insert(name, "x.md", "").unwrap_err();
        assert_eq!(problems[0].code.as_str(), code);
    }
    assert_eq!(all.names().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_repository_role_comes_before_the_shipped_one() {
    let mut own = Roles::new();
    let text = "---\nname: coder\naliases: [dev]\nmodel: m\n---\n\nOurs.\n";
    own.insert(Role::parse(".plue/roles/coder.md", text).unwrap()).unwrap();
    let role = own.get_or("Coder", plue_prompts::roles()).unwrap();
    assert_eq!((role.prompt(), role.settings().model.as_deref()), ("Ours.", Some("m")));
    assert_eq!(own.get("dev").map(Role::name), Some("coder"));
    assert!(own.get_or("tester", plue_prompts::roles()).is_some());
    let twice = Role::parse("dev.md", "---\nname: DEV\n---\nx").unwrap();
    assert_eq!(own.insert(twice).unwrap_err().code.as_str(), "PLUE-T0024");
}

#[test]
fn a_role_has_no_schema_and_its_text_is_not_rendered() {
    let text = "---\nname: r\nschema: {type: object}\n---\nx";
    let problems = Role::parse("r.md", text).unwrap_err();
    assert_eq!(problems[0].code.as_str(), "PLUE-T0004");
    let role = Role::parse("r.md", "---\nname: r\n---\n{{x}}").unwrap();
    assert_eq!(role.prompt(), "{{x}}");
    assert_eq!(role.warnings()[0].code.as_str(), "PLUE-T0026");
    let spaced = Role::parse("r.md", "---\nname: a b\n---\n").unwrap_err();
    assert_eq!(spaced[0].code.as_str(), "PLUE-T0005");
}

#[test]
fn a_missing_argument_of_a_partial_is_an_error() {
    for body in ["{{> p x}}", "{{> p y=x}}", "{{> p @root}}"] {
        let found = shown(render(body, json!({}), &[("p", "")]));
        assert!(found.starts_with("p.md:4:1: PLUE-T0020"), "{found}");
    }
}
