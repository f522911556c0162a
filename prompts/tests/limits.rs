//! Every limit: what is just inside passes, what is beyond is refused under its code.

#![cfg(test)]

use plue_prompts::{Partials, PromptFile, Role, limits};
use serde_json::{Map, Value as Json, json};

fn file(body: &str) -> String {
    format!("---\nname: p\n---\n{body}")
}

/// Text, or the code of the first problem.
fn outcome(text: &str, data: &Json) -> Result<String, String> {
    let data: Map<String, Json> = data.as_object().cloned().unwrap();
    let prompt = PromptFile::parse("p.md", text);
    let rendered = prompt.and_then(|prompt| prompt.render(&data, &Partials::new()));
    rendered.map_err(|problems| problems[0].code.to_string())
}

fn refused(code: &str) -> Result<String, String> {
    Err(format!("PLUE-{code}"))
}

#[test]
fn a_file_has_a_mebibyte_and_its_frontmatter_less() {
    let filler = |size: usize| file(&"x".repeat(size));
    let most = limits::MAX_FILE_BYTES - file("").len();
    assert!(outcome(&filler(most), &json!({})).is_ok());
    assert_eq!(outcome(&filler(most + 1), &json!({})), refused("T0001"));
    let comment = |size: usize| format!("---\nname: p\n#{}\n---\nx", "c".repeat(size));
    assert!(outcome(&comment(60_000), &json!({})).is_ok());
    assert_eq!(outcome(&comment(70_000), &json!({})), refused("T0001"));
    assert_eq!(outcome(&file("a\0b"), &json!({})), refused("T0001"));
    let role = Role::parse("r.md", &filler(most + 1)).unwrap_err();
    assert_eq!(role[0].code.as_str(), "PLUE-T0001");
}

#[test]
fn frontmatter_bombs_are_refused() {
    let mut aliases =
        String::from("---\nname: p\nschema:\n  a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n");
    for n in 1..9 {
        let alias = format!("*a{}", n - 1);
        aliases += &format!("  a{n}: &a{n} [{}]\n", vec![alias; 10].join(", "));
    }
    assert_eq!(outcome(&(aliases + "---\nx"), &json!({})), refused("T0003"));
    let deep =
        format!("---\nname: p\nschema: {}{}\n---\nx", "[".repeat(20_000), "]".repeat(20_000));
    assert_eq!(outcome(&deep, &json!({})), refused("T0003"));
}

#[test]
fn blocks_nest_to_the_limit_on_a_small_stack_and_no_further() {
    let nested =
        |depth: usize| file(&format!("{}x{}", "{{#if a}}".repeat(depth), "{{/if}}".repeat(depth)));
    let each = |depth: usize| {
        file(&format!("{}x{}", "{{#each a}}".repeat(depth), "{{/each}}".repeat(depth)))
    };
    assert_eq!(outcome(&nested(limits::MAX_NESTING), &json!({"a": [1]})), Ok("x".to_owned()));
    let rooted = "{{#each @root.a}}".repeat(limits::MAX_NESTING);
    let deepest = format!("{}1{}", "(json ".repeat(16), ")".repeat(16));
    let rooted =
        format!("{rooted}{{{{len {deepest}}}}}{}", "{{/each}}".repeat(limits::MAX_NESTING));
    assert!(outcome(&file(&rooted), &json!({"a": [1]})).is_ok());
    for depth in [limits::MAX_NESTING + 1, 1_000, 50_000] {
        assert_eq!(outcome(&nested(depth), &json!({"a": [1]})), refused("T0009"));
        assert_eq!(outcome(&each(depth), &json!({"a": [1]})), refused("T0009"));
    }
    // Never closed: the library would recurse as deep.
    assert_eq!(outcome(&file(&"{{#if a}}".repeat(50_000)), &json!({"a": 1})), refused("T0009"));
}

#[test]
fn tricks_that_hide_nesting_from_the_count_are_refused() {
    let tricks = [
        "{{!-- {{/if}} --}}{{#if a}}",
        "{{json \"}}{{/if}}\"}}{{#if a}}",
        "{{json '}}{{/if}}'}}{{#if a}}",
        "{{json a.[\"}}{{/if}}]}}{{#if a}}",
        "{{json [\"]}}{{/if}}\"]}}{{#if a}}",
        "{{json {\"a\":{\"b\":\"}}{{/if}}\"}}}}{{#if a}}",
        "\\{{/if}}{{#if a}}",
        "{{{{raw}}}}{{/if}}{{{{/raw}}}}{{#if a}}",
        "{{ # if a}}",
        "{{~#if a}}",
        "{{\n#if a}}",
        "{{#if a}}{{else if a}}{{/if}}{{#if a}}{{^if a}}",
    ];
    for trick in tricks {
        let found = outcome(&file(&trick.repeat(3_000)), &json!({"a": 1}));
        let code = found.unwrap_err();
        assert!(
            ["PLUE-T0008", "PLUE-T0009", "PLUE-T0010"].contains(&code.as_str()),
            "{trick}: {code}"
        );
    }
}

#[test]
fn parentheses_and_tags_have_limits() {
    let nested = |depth: usize| {
        file(&format!("{{{{len {}a{}}}}}", "(json ".repeat(depth), ")".repeat(depth)))
    };
    assert!(outcome(&nested(limits::MAX_EXPRESSION_DEPTH), &json!({"a": 1})).is_ok());
    assert_eq!(
        outcome(&nested(limits::MAX_EXPRESSION_DEPTH + 1), &json!({"a": 1})),
        refused("T0009")
    );
    let long = |size: usize| file(&format!("{{{{json \"{}\"}}}}", "x".repeat(size)));
    assert!(outcome(&long(limits::MAX_TAG_BYTES - 100), &json!({})).is_ok());
    assert_eq!(outcome(&long(limits::MAX_TAG_BYTES), &json!({})), refused("T0015"));
    assert_eq!(outcome(&file(&format!("{{{{{}", "(".repeat(2_000))), &json!({})), refused("T0009"));
}

#[test]
fn a_file_of_tags_compiles_up_to_the_limit_of_time() {
    let tags = |count: usize| file(&"{{a}}".repeat(count));
    let most = (0..100_000).rfind(|count| count * tags_bytes(*count) <= limits::MAX_COMPILE_WORK);
    let most = most.unwrap();
    assert!(outcome(&tags(most), &json!({"a": ""})).is_ok());
    assert_eq!(outcome(&tags(most + 1), &json!({"a": ""})), refused("T0015"));
}

fn tags_bytes(count: usize) -> usize {
    "{{a}}".len() * count
}

#[test]
fn inputs_have_a_size_and_a_depth() {
    let text = file("{{truncate (json a) 1}}");
    let half = "x".repeat(limits::MAX_INPUT_BYTES / 2);
    assert_eq!(outcome(&file("x"), &json!({"a": half})), Ok("x".to_owned()));
    assert_eq!(outcome(&file("x"), &json!({"a": half, "b": half})), refused("T0019"));
    let deep = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    assert!(outcome(&text, &json!({"a": deep(limits::MAX_INPUT_DEPTH - 1)})).is_ok());
    assert_eq!(outcome(&text, &json!({"a": deep(limits::MAX_INPUT_DEPTH)})), refused("T0009"));
}

#[test]
fn the_text_has_a_limit_that_no_helper_passes() {
    let big = "`\n".repeat(limits::MAX_OUTPUT_BYTES / 4);
    let data = json!({"a": big, "l": vec![0; 3]});
    assert!(outcome(&file("{{a}}{{truncate a 10}}"), &data).is_ok());
    let bodies = [
        "{{a}}{{a}}{{a}}",
        "{{#each l}}{{../a}}{{/each}}",
        "{{indent a 64}}",
        "{{len (indent a 64)}}",
        "{{len (json (json (json (json a))))}}",
        "{{fence a}}{{fence a}}",
    ];
    for body in bodies {
        assert_eq!(outcome(&file(body), &data), refused("T0022"), "{body}");
    }
}

#[test]
fn work_has_a_limit_also_where_nothing_is_printed() {
    let data = json!({"l": vec![0; 2_000], "big": "x".repeat(1_000_000)});
    let bodies = [
        "{{#each l}}{{#each ../l}}{{#each ../../l}}{{/each}}{{/each}}{{/each}}",
        "{{#each l}}{{#if (eq ../big ../big)}}{{/if}}{{/each}}",
        "{{#each l}}{{#with (default ../z ../big)}}{{/with}}{{/each}}",
        "{{#each l}}{{truncate ../big 1}}{{/each}}",
        "{{#*inline \"p\"}}{{/inline}}{{#each l}}{{> p x=../big}}{{/each}}",
    ];
    for body in bodies {
        assert_eq!(outcome(&file(body), &data), refused("T0023"), "{body}");
    }
}

#[test]
fn a_schema_has_a_limit_of_parts_and_no_recursion() {
    let with = |schema: &Json| format!("---\nname: p\nschema: {schema}\n---\nx");
    let mut defs = Map::new();
    defs.insert("d0".to_owned(), json!({"type": "object"}));
    for n in 1..40 {
        let below = format!("#/$defs/d{}", n - 1);
        defs.insert(format!("d{n}"), json!({"allOf": [{"$ref": below}, {"$ref": below}]}));
    }
    let doubling = json!({"$defs": defs, "allOf": [{"$ref": "#/$defs/d39"}]});
    assert_eq!(outcome(&with(&doubling), &json!({})), refused("T0007"));
    let recursive = json!({"type": "object", "properties": {"a": {"$ref": "#"}}});
    assert_eq!(outcome(&with(&recursive), &json!({})), refused("T0007"));
    let backtracking = json!({"type": "object", "properties": {"a": {"pattern": "^(?=a)b"}}});
    assert_eq!(outcome(&with(&backtracking), &json!({})), refused("T0007"));
    let twice = json!({"type": "object", "properties": {"a": {"$ref": "#/$defs/t"}, "b": {"$ref": "#/$defs/t"}},
        "$defs": {"t": {"type": "string", "pattern": "^(a+)+$"}}});
    let data = json!({"a": "a", "b": "a".repeat(100_000)});
    assert_eq!(outcome(&with(&twice), &data), Ok("x".to_owned()));
}

#[test]
fn many_problems_are_counted_and_not_all_listed() {
    let body = "{{#x}}{{/x}}".repeat(250);
    let problems = PromptFile::parse("p.md", &file(&body)).unwrap_err();
    assert_eq!(problems.len(), limits::MAX_PROBLEMS + 1);
    let last = &problems[limits::MAX_PROBLEMS];
    assert_eq!(last.code.as_str(), "PLUE-T0027");
    assert!(last.message.contains("150"), "{}", last.message);
}
