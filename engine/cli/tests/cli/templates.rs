//! `plue template`: every template is a valid plan, the same one in both languages.

use crate::support::Bench;

const TEMPLATES: [&str; 10] = [
    "bug-fix",
    "build-website",
    "ci-node",
    "ci-python",
    "ci-rust",
    "full-stack-feature",
    "hello-multi-agent",
    "pipeline",
    "pr-review",
    "sample",
];

/// The plan of a template, as the bytes that are hashed.
fn plan(args: &[&str], language: &str) -> String {
    let bench = Bench::new();
    let new = [&["template", "new"], args, &["--lang", language]].concat();
    let file = bench.plue(&new).ends(0).stdout;
    let output = bench.plue(&["validate"]).ends(0);
    assert!(
        output.stderr.contains("0 errors, 0 warnings"),
        "{args:?} {language}: {}",
        output.stderr
    );
    bench.plue(&["plan", file.trim(), "--output", "json"]).ends(0).stdout
}

#[test]
fn row_2_01_templates_are_equal_plans_in_both_languages() {
    for name in TEMPLATES {
        assert_eq!(plan(&[name], "python"), plan(&[name], "yaml"), "{name}");
    }
    let filled =
        ["bug-fix", "--name", "It's \"odd\" – ünï", "--set", "bug_description=a \"b\" \\ c"];
    assert_eq!(plan(&filled, "python"), plan(&filled, "yaml"));
    let long = [
        "pipeline",
        "--step",
        "a-1:planner:Say \"yes\"",
        "--step",
        "b:coder:Do",
        "--step",
        "c:doc:Tell",
    ];
    assert_eq!(plan(&long, "python"), plan(&long, "yaml"));
}

#[test]
fn row_2_08_templates_are_listed_shown_and_written_without_overwriting() {
    let bench = Bench::new();
    let json = bench.plue(&["template", "list", "--output", "json"]).ends(0).json();
    let names: Vec<_> =
        json["templates"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, TEMPLATES);
    bench.plue(&["template", "show", "sample"]).ends(0).shows(&["name=\"sample\""]);
    bench.plue(&["template", "show", "smple"]).ends(4).reports(&["did you mean `sample`?"]);
    bench.plue(&["template", "show", "sample", "--set", "x=1"]).ends(2).reports(&["`x`"]);
    let output = bench.plue(&["template", "new", "sample", "--name", "My First"]).ends(0);
    assert_eq!(output.stdout, "my-first.plue.py\n");
    bench.write("my-first.plue.py", "mine");
    bench
        .plue(&["template", "new", "sample", "--name", "My First"])
        .ends(2)
        .reports(&["is there already"]);
    assert_eq!(std::fs::read_to_string(bench.repo().join("my-first.plue.py")).unwrap(), "mine");
    bench.plue(&["template", "new", "sample", "--file", "../x.plue.py"]).ends(2);
}

#[test]
fn row_2_23_the_feature_template_builds_in_parallel() {
    let text = plan(&["full-stack-feature", "--set", "feature_name=login"], "python");
    for (id, after) in [
        ("api", "[\"design\"]"),
        ("ui", "[\"design\"]"),
        ("integrate", "[\"api\",\"ui\"]"),
        ("test", "[\"integrate\"]"),
    ] {
        let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
        let step = plan["steps"].as_array().unwrap().iter().find(|step| step["id"] == id).unwrap();
        assert_eq!(step["depends_on"].to_string(), after, "{id}");
    }
    assert!(text.contains("Design login feature") && text.contains("Implement API for login"));
}

#[test]
fn row_2_24_the_bug_template_is_a_chain_of_four() {
    let plan: serde_json::Value = serde_json::from_str(&plan(&["bug-fix"], "yaml")).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let ids: Vec<_> = steps.iter().map(|step| step["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["investigate", "analyze", "fix", "verify"]);
    for pair in steps.windows(2) {
        assert_eq!(pair[1]["depends_on"], serde_json::json!([pair[0]["id"]]));
    }
}

#[test]
fn row_3_11_the_website_template_loops_at_most_thrice() {
    let plan: serde_json::Value = serde_json::from_str(&plan(&["build-website"], "yaml")).unwrap();
    let review = &plan["steps"][2];
    assert_eq!(review["id"], "review_code");
    assert_eq!(
        review["on_failure"],
        serde_json::json!({"goto": "implement_code", "max_visits": 3})
    );
    assert_eq!(plan["steps"][1]["retry"]["max_attempts"], 2);
}

#[test]
fn row_3_12_pipelines_are_linear_in_step_order() {
    let plan: serde_json::Value = serde_json::from_str(&plan(&["pipeline"], "python")).unwrap();
    let steps = plan["steps"].as_array().unwrap();
    let roles: Vec<_> = steps
        .iter()
        .map(|step| (step["id"].as_str().unwrap(), step["role"].as_str().unwrap()))
        .collect();
    assert_eq!(
        roles,
        [("analyze", "product_manager"), ("design", "coder"), ("implement", "coder")]
    );
    let bench = Bench::new();
    bench
        .plue(&["template", "show", "pipeline", "--step", "a:b"])
        .ends(2)
        .reports(&["ID:ROLE:TASK"]);
    bench.plue(&["template", "show", "sample", "--step", "a:b:c"]).ends(2).reports(&["pipeline"]);
}

#[test]
fn row_4_11_the_sample_runs_anywhere() {
    let bench = Bench::new();
    bench.plue(&["run", "sample"]).ends(0);
    bench.plue(&["template", "new", "sample", "--name", "own"]).ends(0);
    bench.plue(&["run", "own"]).ends(0);
}

#[test]
fn row_2_27_a_run_keeps_a_todo_list_in_step() {
    let bench = Bench::with(crate::support::MIXED);
    bench.write("TODO.md", "# Mine\n\n- [ ] milk\n");
    bench.plue(&["run", "--todo", "TODO.md"]).ends(1);
    let text = std::fs::read_to_string(bench.repo().join("TODO.md")).unwrap();
    assert!(text.starts_with("# Mine\n\n- [ ] milk\n"), "{text}");
    for line in
        ["- [x] test\n", "- [x] build\n", "- [ ] bad (failed)\n", "- [ ] behind (skipped)\n"]
    {
        assert!(text.contains(line), "{line:?} in {text}");
    }
    bench.plue(&["run", "--todo", "TODO.md"]).ends(1);
    let again = std::fs::read_to_string(bench.repo().join("TODO.md")).unwrap();
    assert_eq!(again, text);
}
