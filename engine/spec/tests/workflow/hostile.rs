//! Generated hostile files: refused by limits that are checked before anything is stored.

use plue_spec::workflow::{Format, read};

fn codes(text: &str) -> Vec<String> {
    match read("x.plue.yaml", text.as_bytes(), Format::Yaml) {
        Ok(_) => Vec::new(),
        Err(found) => found.iter().map(|problem| problem.code.to_string()).collect(),
    }
}

fn first(text: &str) -> String {
    codes(text).into_iter().next().unwrap_or_default()
}

#[test]
fn twenty_thousand_levels_are_refused_in_every_notation() {
    // Twenty thousand would be 200 MB.
    let block: String = (0..2_000).map(|level| format!("{}a:\n", " ".repeat(level))).collect();
    for text in [
        "[".repeat(20_000),
        "{a: ".repeat(20_000),
        "- ".repeat(20_000),
        "? ".repeat(20_000),
        "[{a: ".repeat(10_000),
        block,
        format!("name: x\ntasks: {}{}", "[".repeat(20_000), "]".repeat(20_000)),
    ] {
        assert_eq!(first(&text), "PLUE-S0013", "{:.20}", text);
    }
    let json = "[".repeat(20_000) + &"]".repeat(20_000);
    let found = read("x.json", json.as_bytes(), Format::Json).unwrap_err();
    assert_eq!(found[0].code.as_str(), "PLUE-S0013");
}

#[test]
fn aliases_cannot_nest_deeper_than_text() {
    let mut text = "name: x\na0: &a0 [[[[[[[[x]]]]]]]]\n".to_owned();
    for level in 1..40 {
        let before = level - 1;
        text.push_str(&format!("a{level}: &a{level} [[[[[[[[*a{before}]]]]]]]]\n"));
    }
    assert_eq!(first(&text), "PLUE-S0013");
}

#[test]
fn aliases_of_long_or_many_values_are_refused() {
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(100));
    assert_eq!(first(&long), "PLUE-S0014");
    let list = "x, ".repeat(1_000);
    let many = format!("a: &a [{list}]\nb: [{}]\n", "*a, ".repeat(1_000));
    assert_eq!(first(&many), "PLUE-S0014");
}

#[test]
fn anchors_around_anchors_are_counted() {
    // Each anchor keeps a copy of everything inside.
    let mut text = String::from("a: ");
    for level in 0..90 {
        text.push_str(&format!("&a{level} ["));
    }
    text.push_str(&"x, ".repeat(10_000));
    text.push_str(&"]".repeat(90));
    assert_eq!(first(&text), "PLUE-S0030");
}

#[test]
fn excess_values_and_bytes_are_refused() {
    assert_eq!(first(&format!("a: [{}]", "x,".repeat(500_000))), "PLUE-S0030");
    let large = "#".repeat(plue_spec::workflow::MAX_FILE_BYTES + 1);
    assert_eq!(codes(&large), ["PLUE-S0030"]);
}

#[test]
fn many_problems_are_counted_and_not_all_listed() {
    let keys: String = (0..5_000).map(|n| format!("k{n}: 1\n")).collect();
    let found = codes(&keys);
    assert_eq!(found.len(), plue_spec::workflow::MAX_PROBLEMS + 1);
    assert_eq!(found.last().unwrap(), "PLUE-P0071");
}

#[test]
fn repeated_variables_cannot_fill_the_memory() {
    let mut text =
        format!("name: x\ncontext: {{variables: {{v: \"{}\"}}}}\ntasks:\n", "x".repeat(60_000));
    for task in 0..1_000 {
        text.push_str(&format!("  - {{id: t{task}, run: \"true\", env: {{A: \"${{v}}\"}}}}\n"));
    }
    assert_eq!(codes(&text), ["PLUE-P0002"]);
}

#[test]
fn invalid_utf_8_is_refused_with_its_offset() {
    let found = read("x.plue.yaml", b"name: x\nab\xff", Format::Yaml).unwrap_err();
    assert_eq!(found[0].to_string().split(": ").next(), Some("x.plue.yaml:2:3"));
    assert_eq!(found[0].code.as_str(), "PLUE-S0011");
}

#[test]
fn odd_texts_never_panic() {
    for text in [
        "\u{feff}",
        "---",
        "...",
        "--- ---",
        "%YAML 3.0\n---\na",
        "? ",
        ": ",
        "- -",
        "&a",
        "*a",
        "!!str",
        "|",
        ">",
        "a: |1\n x",
        "a: >+9\n",
        "{a",
        "[",
        "}",
        "\"",
        "'",
        "\u{85}",
        "\u{2028}a: 1",
        "a:\u{a0}b",
        "\0",
        "a: \u{7f}",
        "name: x\ntasks:\n  - id: ${x}\n    run: ${",
        "name: ${",
        "name: x\ntasks: [{id: a, run: x, env: {A: \"$${\"}}]",
        "name: x\ntasks: [{id: a, agent: x, parameters: {task: \"${${${\"}}]",
        "name: x\ntasks: [{id: a, agent: x, parameters: {task: \"${'}'}${\\\"}\\\"}\"}}]",
        "name: x\ntasks: [{id: ä, agent: x, parameters: {task: \"${ä.output} ${日本}\"}}]",
        "name: x\ntasks: [{id: a, agent: x, parameters: {task: \"${fn:}${fn:a}${fn:(}${a ? fn:b : c}\"}}]",
        "name: x\ncontext: {variables: {a: -5, b: null, c: {d: []}}}\ntasks: [{id: t, agent: x, parameters: {task: \"${1 -a}${c.d[0]}${-a}${b.c}\"}}]",
    ] {
        for format in [Format::Yaml, Format::Json] {
            let _ = read("x", text.as_bytes(), format);
        }
    }
}
