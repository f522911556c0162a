//! Random templates and data give an answer of bounded size, without a panic.

#![cfg(test)]

use plue_prompts::{Partials, PromptFile, limits::MAX_OUTPUT_BYTES};
use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value as Json, json};

fn data() -> Map<String, Json> {
    let data = json!({
        "a": 1, "b": "text `````` {{a}} <&>", "l": [1, "x", null, {"a": {"b": 2}}],
        "o": {"k": [], "a": {"b": "c"}}, "n": null, "e": "", "t": true,
    });
    data.as_object().cloned().unwrap()
}

fn attempt(file: &str, inputs: &Map<String, Json>) -> Result<(), TestCaseError> {
    let mut partials = Partials::new();
    partials.insert("p", "p.md", "<{{#each this}}{{@key}}{{/each}}>").unwrap();
    match PromptFile::parse("x.md", file).and_then(|prompt| prompt.render(inputs, &partials)) {
        Ok(text) => prop_assert!(text.len() <= MAX_OUTPUT_BYTES),
        Err(problems) => {
            prop_assert!(!problems.is_empty());
            for problem in problems {
                prop_assert!(problem.message.len() < 2_000, "{}", problem.message);
                if let Some(span) = problem.span {
                    let lines = file.matches('\n').count() + 1;
                    prop_assert!((1..=lines).contains(&(span.line as usize)), "{span} of {file:?}");
                }
            }
        }
    }
    Ok(())
}

/// Pieces of which templates are made, right and wrong.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "{{", "}}", "{{{", "}}}", "{{{{raw}}}}", "{{{{/raw}}}}", "{{#if a}}", "{{/if}}", "{{else}}",
    "{{else if l}}", "{{^}}", "{{^if b}}", "{{#each l}}", "{{#each o as |v k|}}", "{{/each}}",
    "{{#with o}}", "{{/with}}", "{{#unless n}}", "{{/unless}}", "{{a}}", "{{this}}", "{{../a}}",
    "{{@index}}", "{{@key}}", "{{@root.b}}", "{{@../index}}", "{{~a~}}", "{{!-- x --}}",
    "{{! x }}", "{{!--", "--}}", "{{~! x}}", "{{> p}}", "{{> p o x=1 y=2}}", "{{> q}}", "{{#> p}}",
    "{{/p}}", "{{#*inline \"i\"}}", "{{/inline}}", "{{> i}}", "{{json o}}", "{{json l indent=2}}",
    "{{fence b \"x\"}}", "{{truncate b 3}}", "{{indent b 2}}", "{{default z b}}", "{{lookup l 3}}",
    "{{len l}}", "{{#if (eq a 1)}}", "{{#if (and a (not n))}}", "{{[a b]}}", "{{l.[0]}}",
    "{{l.0}}", "{{a.b.c}}", "{{'x'}}", "{{\"x\"}}", "{{.}}", "{{..}}", "{{*x}}", "{{&b}}",
    "{{{b}}}", "\\", "\\{{", "\\\\{{", "\n", " ", "\t", "'", "\"", "[", "]", "(", ")", "|", "as",
    "=", "~", "#", "/", "{{{{", "}}}}", "\r\n", "é", "👋", "\u{0}", "-", "---\n", "{{else",
    "{{elsewhere}}", "{{#if", "{{json {\"a\":1}}}", "{{json [1,2]}}", "{{@partial-block}}",
    "{{> @partial-block}}", "{{> (a)}}", "{{(len l)}}", "{{((len l))}}", "{{a b=}}", "{{a b=c}}",
    "{{1}}", "{{true}}", "{{null}}", "{{plue.print a}}", "{{plue.enter a 1}}", "{{raw}}",
    "{{#raw}}", "{{/raw}}", "{{log a}}",
];

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(PIECES).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ]
}

fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<f64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        "\\PC{0,12}".prop_map(Json::String),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Json::Array),
            vec(("[a-z]{1,2}", inner), 0..5).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn pieces_of_templates_in_any_order_get_an_answer(pieces in vec(piece(), 0..40)) {
        attempt(&format!("---\nname: x\n---\n{}", pieces.concat()), &data())?;
    }

    #[test]
    fn any_text_is_a_template_or_not(text in "\\PC{0,400}", braces in vec(0_usize..400, 0..12)) {
        let mut text: Vec<char> = text.chars().collect();
        for at in braces {
            let at = at.min(text.len());
            text.splice(at..at, "{{".chars());
        }
        let text: String = text.into_iter().collect();
        attempt(&format!("---\nname: x\n---\n{text}"), &data())?;
    }

    #[test]
    fn any_frontmatter_gets_an_answer(lines in vec("[a-z_]{1,8}: ?[\\[\\]{}a-z0-9,:&*!|>\"' -]{0,20}", 0..8)) {
        attempt(&format!("---\nname: x\n{}\n---\n{{{{a}}}}", lines.join("\n")), &data())?;
    }

    #[test]
    fn any_data_gets_an_answer(a in value(), l in value(), o in value()) {
        let mut inputs = data();
        inputs.extend([("a".to_owned(), a), ("l".to_owned(), l), ("o".to_owned(), o)]);
        let body = "{{json a}}{{fence (json l indent=1)}}{{#each (default z o)}}{{@key}}{{json this}}\
                    {{/each}}{{#if l}}{{len l}}{{/if}}{{> p o}}{{a}}";
        attempt(&format!("---\nname: x\n---\n{body}"), &inputs)?;
    }

    #[test]
    fn what_data_says_is_never_read_as_a_template(text in "[{}#/> a-z~\\\\!`]{0,60}") {
        let file = "---\nname: x\n---\n[{{s}}]{{#each l}}{{this}}{{/each}}";
        let prompt = PromptFile::parse("x.md", file).unwrap();
        let inputs = json!({"s": text, "l": [text, text]}).as_object().cloned().unwrap();
        let rendered = prompt.render(&inputs, &Partials::new()).unwrap();
        prop_assert_eq!(rendered, format!("[{text}]{text}{text}"));
    }
}
