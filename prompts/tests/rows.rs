//! The mission rows about prompts and roles, by number.

#![cfg(test)]

use plue_prompts::{HELPERS, Partials, PromptFile, library, roles, shipped};
use serde_json::{Map, Value as Json, json};

fn map(value: Json) -> Map<String, Json> {
    value.as_object().cloned().unwrap()
}

fn codes(problems: &[plue_plan::Diagnostic]) -> Vec<&str> {
    problems.iter().map(|found| found.code.as_str()).collect()
}

fn body(text: &str) -> PromptFile {
    PromptFile::parse("p.md", &format!("---\nname: p\n---\n{text}")).unwrap()
}

#[test]
fn row_1_07_a_template_is_parsed_and_rendered() {
    let prompt = body("Hello {{who}}");
    let text = prompt.render(&map(json!({"who": "you"})), &Partials::new());
    assert_eq!(text.unwrap(), "Hello you");
    assert_eq!(prompt.reads().collect::<Vec<_>>(), ["who"]);
}

#[test]
fn row_1_36_the_frontmatter_says_how_the_model_is_asked() {
    let text = "---\nname: p\ndescription: d\nschema: {type: object}\nmodel: m\ntools: [read]\n\
                max_turns: 3\nbudget: {usd: 1.5, tokens: 9}\noutput: {type: object}\nrole: coder\n---\nx";
    let prompt = PromptFile::parse("p.md", text).unwrap();
    assert_eq!((prompt.name(), prompt.description()), ("p", Some("d")));
    assert_eq!(prompt.schema(), Some(&json!({"type": "object"})));
    let settings = prompt.settings();
    assert_eq!(settings.model.as_deref(), Some("m"));
    assert_eq!(settings.tools.as_deref(), Some(&["read".to_owned()][..]));
    assert_eq!(settings.max_turns, Some(3));
    let budget = settings.budget.as_ref().unwrap();
    assert_eq!((budget.usd, budget.tokens), (Some(1.5), Some(9)));
    assert_eq!(settings.output, Some(json!({"type": "object"})));
    assert_eq!(settings.role.as_deref(), Some("coder"));
    assert_eq!(prompt.warnings(), []);
}

#[test]
fn row_1_36_a_version_number_stays_text_and_an_unknown_field_is_a_warning() {
    let text = "---\nname: 1.10\nmodel: 1.10\ncolour: red\n---\nx";
    let prompt = PromptFile::parse("a/1.10.md", text).unwrap();
    assert_eq!(prompt.name(), "1.10");
    assert_eq!(prompt.settings().model.as_deref(), Some("1.10"));
    assert_eq!(codes(prompt.warnings()), ["PLUE-T0004"]);
    let span = prompt.warnings()[0].span.as_ref().unwrap();
    assert_eq!((span.line, span.column), (4, 1));
}

#[test]
fn row_1_37_all_problems_of_the_inputs_come_at_once_with_their_paths() {
    let text = "---\nname: p\nschema:\n  type: object\n  properties:\n    a: {type: string}\n\
                \x20   b: {type: array, items: {type: integer}}\n\
                \x20   c: {type: string}\n  required: [a, c]\n\
                \x20 additionalProperties: false\n---\n{{a}}";
    let prompt = PromptFile::parse("p.md", text).unwrap();
    let found = prompt.check_inputs(&map(json!({"b": [1, "x"], "bb": 1})));
    let mut all = codes(&found);
    all.sort_unstable();
    assert_eq!(all, ["PLUE-T0016", "PLUE-T0016", "PLUE-T0017", "PLUE-T0018"]);
    let text = format!("{found:?}");
    for path in ["`inputs.a`", "`inputs.c`", "`inputs.bb`", "`inputs.b[1]`"] {
        assert!(text.contains(path), "{path} in {text}");
    }
    // Before there are values, the names are known.
    assert_eq!(
        codes(&prompt.check_names(&["b", "bb"])),
        ["PLUE-T0016", "PLUE-T0016", "PLUE-T0017"]
    );
    assert_eq!(prompt.check_names(&["a", "c"]), []);
}

#[test]
fn row_1_37_a_value_that_does_not_fit_is_not_repeated_in_the_message() {
    let text = "---\nname: p\nschema: {type: object, properties: {a: {type: integer}}}\n---\n{{a}}";
    let prompt = PromptFile::parse("p.md", text).unwrap();
    let found = prompt.check_inputs(&map(json!({"a": "sk-secret"})));
    assert_eq!(codes(&found), ["PLUE-T0018"]);
    assert!(!found[0].message.contains("sk-secret"), "{}", found[0].message);
}

#[test]
fn row_1_38_the_prompt_of_the_seed_renders_to_the_byte() {
    let prompt = &library()["code-review"];
    let inputs = json!({"files": [
        {"path": "src/a.rs", "diff": "-a < b && \"c\"\n+{{x}}"},
        {"path": "b.md", "diff": "+x"},
    ]});
    let text = prompt.render(&map(inputs), &Partials::new()).unwrap();
    assert_eq!(
        text,
        "\nReview the following code changes:\n\n## src/a.rs\n-a < b && \"c\"\n+{{x}}\n## b.md\n+x\n"
    );
}

#[test]
fn row_1_39_the_list_of_helpers_is_frozen_and_documented() {
    let names: Vec<&str> = HELPERS.iter().map(|helper| helper.name).collect();
    assert_eq!(
        names.join(" "),
        "if unless each with raw json indent truncate fence default lookup len eq ne gt gte lt lte \
         and or not"
    );
    let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/prompts.md");
    let manual = std::fs::read_to_string(manual).unwrap();
    for helper in HELPERS {
        let line = format!("| `{}", helper.name);
        assert!(manual.contains(&line), "{} is not in docs/reference/prompts.md", helper.name);
    }
}

#[test]
fn row_1_39_a_fence_survives_every_fence_in_the_data() {
    let prompt = body("{{fence x \"text\"}}\nThe end");
    for ticks in 0..40 {
        let data = format!("a\n{0}\n{0}text\n~~~\nb{0}", "`".repeat(ticks));
        let text = prompt.render(&map(json!({"x": data})), &Partials::new()).unwrap();
        let bar: String = text.chars().take_while(|c| *c == '`').collect();
        assert!(bar.len() > ticks && bar.len() >= 3);
        assert_eq!(text, format!("{bar}text\n{data}\n{bar}\nThe end"));
    }
}

#[test]
fn row_2_09_the_seven_agents_resolve_and_the_researcher_in_both_spellings() {
    for name in ["planner", "coder", "checker", "frontend", "backend", "research", "orchestrator"] {
        let role = roles().get(name).unwrap();
        assert_eq!(role.name(), name);
        assert!(role.prompt().len() > 200, "{name}");
        assert!(role.settings().tools.is_some(), "{name}");
    }
    assert_eq!(roles().get("researcher"), roles().get("research"));
}

#[test]
fn row_3_07_the_six_types_resolve_as_the_seed_writes_them_and_generic_has_no_prompt() {
    for name in ["PRODUCT_MANAGER", "CODER", "REVIEWER", "TESTER", "DEPLOYER", "GENERIC"] {
        let role = roles().get(name).unwrap();
        assert_eq!(role.name(), name.to_lowercase());
        assert_eq!(role.prompt().is_empty(), name == "GENERIC", "{name}");
    }
}

#[test]
fn row_4_03_planner_builder_reviewer_and_doc_resolve() {
    for name in ["planner", "builder", "reviewer", "doc"] {
        assert!(roles().get(name).is_some(), "{name}");
    }
}

#[test]
fn every_shipped_file_is_read_without_a_warning() {
    assert_eq!(library().len(), shipped::LIBRARY_FILES.len());
    for prompt in library().values() {
        assert_eq!(prompt.warnings(), [], "{}", prompt.name());
        assert!(prompt.description().is_some());
    }
    assert_eq!(roles().iter().count(), shipped::ROLE_FILES.len());
    for role in roles().iter() {
        assert_eq!(role.warnings(), [], "{}", role.name());
        assert!(role.description().is_some());
    }
    for (folder, files) in [("library", shipped::LIBRARY_FILES), ("roles", shipped::ROLE_FILES)] {
        let path = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(std::fs::read_dir(path).unwrap().count(), files.len(), "{folder}");
    }
}

#[test]
fn every_shipped_prompt_renders_with_few_and_with_all_inputs() {
    let inputs = json!({
        "code-review": [{"files": []}, {"files": [{"path": "a", "diff": "b"}]}],
        "fix-bug": [{"report": "r"}, {"report": "r", "log": "l", "command": "c", "constraints": ["x"]}],
        "plan-from-goal": [{"goal": "g"}, {"goal": "g", "repository": "r", "roles": ["a", "b"], "max_steps": 3}],
        "release-notes": [
            {"version": "1", "changes": [{"id": "a", "title": "t"}]},
            {"version": "1", "previous": "0", "audience": "all who operate this software in a data centre",
             "changes": [{"id": "a", "title": "t", "body": "b", "author": "c"}]},
        ],
        "review-findings": [{}, {"focus": "errors", "base": "main"}],
        "task": [{"task": "t"}, {"task": "t", "port": 8080, "country": "no"}],
        "summarize-failure": [
            {"step": "s", "log": "l"},
            {"step": "s", "log": "l", "command": "c", "exit_code": 0, "changed_files": ["x"]},
        ],
        "workflow-from-goal": [{}, {"roles": ["a", "b"], "answer": "name: x", "problems": "no tasks"}],
    });
    for (name, prompt) in library() {
        let mut lengths = Vec::new();
        for case in inputs[*name].as_array().unwrap() {
            let text = prompt.render(&map(case.clone()), &Partials::new());
            let text = text.unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
            assert!(!text.contains("{{"), "{text}");
            assert!(!text.contains("\n\n\n"), "{name}: {text}");
            lengths.push(text.len());
        }
        assert!(lengths[0] < lengths[1], "{name}");
    }
}
