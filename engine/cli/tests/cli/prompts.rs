//! `plue prompt` and `plue agent`, and prompts and roles in plans.

use serde_json::Value as Json;

use crate::support::Bench;

const HELLO: &str = "---\nname: hello\nschema:\n  type: object\n  properties:\n    who: {type: string}\n  required: [who]\n  additionalProperties: false\n---\nHello {{who}}{{> foot}}\n";

fn bench() -> Bench {
    let bench = Bench::new();
    bench.write(".plue/prompts/hello.md", HELLO);
    bench.write(".plue/prompts/foot.md", "!\n");
    bench
}

#[test]
fn row_1_38_shared_cases_hold_on_the_command_line() {
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/../../prompts/tests/cases.json");
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/prompts/cases.json");
    let bench = Bench::new();
    bench.plue(&["prompt", "test", "--cases", cases]).ends(0).reports(&[" 0 failed"]);
    let Ok(text) = std::fs::read_to_string(shared) else { return };
    bench.plue(&["prompt", "test", "--cases", shared]).ends(0).reports(&["13 cases: 13 passed"]);
    for case in serde_json::from_str::<Vec<Json>>(&text).unwrap() {
        bench.write("case.md", case["file"].as_str().unwrap());
        bench.write("data.json", case["data"].to_string());
        let output = bench.plue(&["prompt", "render", "case.md", "--data", "data.json"]);
        match case["render"].as_str() {
            Some(render) => assert_eq!(output.ends(0).stdout, render),
            None => {
                let output = output.ends(3);
                output.reports(&["error[PLUE-T", "case.md:"]);
                assert_eq!(output.stdout, "");
            }
        }
    }
}

#[test]
fn prompts_render_with_partials_and_types() {
    let bench = bench();
    let output = bench.plue(&["prompt", "render", "hello", "--input", "who=1.10"]).ends(0);
    assert_eq!(output.stdout, "Hello 1.10!\n");
    let output = bench.plue_reading(
        &["prompt", "render", ".plue/prompts/hello.md", "--data", "-"],
        r#"{"who": "you"}"#,
    );
    assert_eq!(output.ends(0).stdout, "Hello you!\n");
    bench.plue(&["prompt", "render", "hello"]).ends(3).reports(&["PLUE-T0016", "`inputs.who`"]);
    bench
        .plue(&["prompt", "render", "hello", "--input", "who=a", "--input", "wo=b"])
        .ends(3)
        .reports(&["PLUE-T0017", "did you mean `who`?"]);
    bench.plue(&["prompt", "render", "helo"]).ends(4).reports(&["PLUE-T0028", "`hello`"]);
    bench.write(".plue/prompts/foot.md", "{{nothing}}\n");
    bench
        .plue(&["prompt", "render", "hello", "--input", "who=a"])
        .ends(3)
        .reports(&[".plue/prompts/foot.md:1:"]);
}

#[test]
fn lists_show_sources_and_broken_prompts() {
    let bench = bench();
    bench.write(".plue/prompts/code-review.md", "---\nname: code-review\n---\n{{#if x}}\n");
    let output = bench.plue(&["prompt", "list"]).ends(0);
    output.shows(&["hello", "repository", "fix-bug", "shipped", "code-review", "PLUE-T0008"]);
    let json = bench.plue(&["prompt", "list", "--output", "json"]).ends(0).json();
    let named = |name: &str| {
        let all = json["prompts"].as_array().unwrap();
        all.iter().find(|prompt| prompt["name"] == name).unwrap().clone()
    };
    assert_eq!(named("code-review")["origin"], "repository");
    assert_eq!(named("hello")["required"], serde_json::json!(["who"]));
    assert_eq!(named("fix-bug")["origin"], "shipped");
}

#[test]
fn cases_of_prompts_pass_or_name_the_difference() {
    let bench = bench();
    bench.plue(&["prompt", "test"]).ends(4).reports(&["NAME.cases.json"]);
    bench.write(
        ".plue/prompts/hello.cases.json",
        r#"[{"id": "you", "inputs": {"who": "you"}, "render": "Hello you!\n"},
            {"id": "nobody", "error": "PLUE-T0016 … inputs.who"},
            {"id": "part", "inputs": {"who": "x"}, "contains": ["x", "!"]}]"#,
    );
    bench.plue(&["prompt", "test"]).ends(0).reports(&["3 cases: 3 passed, 0 failed"]);
    bench.write(".plue/prompts/foot.md", "?\n");
    let output = bench.plue(&["prompt", "test", "hello"]).ends(1);
    output.reports(&["PLUE-T0031", "hello.cases.json", "2 failed"]);
    bench.write(".plue/prompts/hello.cases.json", r#"[{"id": "x"}]"#);
    bench.plue(&["prompt", "test"]).ends(3).reports(&["PLUE-T0030", "case `x`"]);
}

#[test]
fn row_2_09_all_roles_are_listed_and_resolve() {
    let bench = Bench::new();
    let json = bench.plue(&["agent", "list", "--output", "json"]).ends(0).json();
    let all = json["agents"].as_array().unwrap();
    let roles = [
        "planner",
        "coder",
        "checker",
        "frontend",
        "backend",
        "research",
        "researcher",
        "orchestrator",
        "product_manager",
        "reviewer",
        "tester",
        "deployer",
        "generic",
        "builder",
        "doc",
    ];
    for role in roles {
        let known = all.iter().any(|agent| {
            let aliases = agent["aliases"].as_array().unwrap();
            agent["name"] == role || aliases.iter().any(|alias| alias == role)
        });
        assert!(known, "{role}");
    }
    let steps: Vec<String> =
        roles.iter().map(|role| format!("Step.llm('{role}', 'x', role='{role}')")).collect();
    let source =
        format!("def workflow():\n    return Plan(name='r', steps=[{}])\n", steps.join(", "));
    bench.write(".plue.py", source);
    bench.plue(&["validate"]).ends(0).reports(&["0 errors, 0 warnings"]);
}

#[test]
fn inputs_of_prompts_are_checked_at_planning() {
    let bench = bench();
    let source = "def workflow():\n    a = Step.bash('a', 'true')\n    return Plan(name='p', steps=[\n        a,\n        Step.llm('ok', Prompt('hello', who=a.output('x')), depends_on=[a]),\n        Step.llm('bad', Prompt('hello', who=3, wo=ref('a', 'x')), depends_on=[a]),\n        Step.llm('none', Prompt('helo')),\n    ])\n";
    bench.write(".plue.py", source);
    for command in [&["validate"][..], &["plan"], &["run"]] {
        let output = bench.plue(command).ends(3);
        output.reports(&["PLUE-T0018", "PLUE-T0017", "PLUE-T0028", ".plue.py:6:9", ".plue.py:7:9"]);
        assert!(!output.stderr.contains("`ok`"), "{}", output.stderr);
    }
}

#[test]
fn texts_named_by_plans_are_pinned() {
    let bench = bench();
    bench.write(
        ".plue.py",
        "def workflow():\n    return Plan(name='p', steps=[\n        Step.llm('l', Prompt('hello', who='you'), role='reviewer')])\n",
    );
    bench.commit();
    bench.plue(&["run"]).ends(1);
    bench.plue(&["plan", "--verify", "last"]).ends(0);
    // The plan's own bytes are the same, and still it is not what ran.
    bench.write(".plue/prompts/foot.md", "?\n");
    bench.plue(&["run"]).ends(1);
    bench.write(".plue/prompts/foot.md", "...\n");
    let output = bench.plue(&["plan", "--verify", "last"]).ends(3);
    assert!(format!("{}{}", output.stdout, output.stderr).contains("prompt foot"), "{output:?}");
}
