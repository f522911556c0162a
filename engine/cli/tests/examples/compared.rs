//! Every example against its `expected/` folder, and what the examples' pages promise.

use std::{
    io::Write as _,
    process::{Output, Stdio},
};

use crate::{
    golden::{Copy, FILES, levels, names, root, take},
    programs::plue,
};

/// The example of the mission's source (document 001, "Plan Structure"), without the comment that
/// names the file.
const SEED: &str = r#"def workflow():
    return Plan(
        name="CI Pipeline",
        triggers=[
            Trigger.on_push(branch="main"),
            Trigger.on_pull_request(),
        ],
        steps=[
            Step.bash("test", "npm test"),
            Step.bash("build", "npm run build", depends_on=["test"]),
            Step.llm(
                "review",
                prompt="Review the code changes",
                depends_on=["test"],
            ),
        ],
    )
"#;

#[track_caller]
fn is_as_expected(name: &str) {
    for (file, found) in FILES.iter().zip(take(plue(), name)) {
        let path = root().join(name).join("expected").join(file);
        let expected = std::fs::read(&path).unwrap_or_default();
        assert!(
            expected == found,
            "examples/{name}/expected/{file} is not what came out. Expected:\n{}\nFound:\n{}\nIf it \
             should be so: cargo run -p plue-cli --example bless_examples {name}",
            String::from_utf8_lossy(&expected),
            String::from_utf8_lossy(&found),
        );
    }
}

/// One test an example, so that they run side by side and each is named by what it shows.
macro_rules! examples {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            is_as_expected($name);
        })*

        const TESTED: &[&str] = &[$($name),*];
    };
}

examples! {
    ci_node_has_a_matrix_of_suites_and_time_zones "ci-node"
    ci_python_has_a_matrix_of_the_modules_that_the_commit_has "ci-python"
    ci_rust_has_a_matrix_of_profiles_and_features "ci-rust"
    deploy_depends_on_its_inputs "deploy"
    hello_runs_two_steps_and_one_behind_them "hello"
    monorepo_asked_for_by_a_person_tests_everything "monorepo"
    nightly_has_a_schedule_and_hooks "nightly"
    release_hands_outputs_from_step_to_step "release"
    retries_end_well_in_spite_of_everything "retries"
    seed_reviews_nothing_until_claude_is_configured "seed"
}

#[test]
fn every_example_is_tested_listed_and_explained() {
    assert_eq!(names(), TESTED);
    let list = std::fs::read_to_string(root().join("README.md")).unwrap();
    for name in TESTED {
        assert!(list.contains(&format!("({name}/README.md)")), "{name} is not in the list");
        let page = std::fs::read_to_string(root().join(name).join("README.md")).unwrap();
        assert!(page.contains("$ plue ") && page.contains("Look at ") || *name == "seed", "{name}");
    }
}

#[test]
fn row_1_33_the_seed_example_runs_verbatim() {
    let source = std::fs::read_to_string(root().join("seed/.plue.py")).unwrap();
    assert_eq!(source, SEED);
    let copy = Copy::of(plue(), "seed");
    let plan = levels(&copy.plan(&[]));
    let lines: Vec<&str> = plan.lines().skip(1).collect();
    assert_eq!(lines, ["1 test", "2 build, review"]);
    crate::golden::check_needs("seed");
    let run = copy.plue(&["run"]);
    let stdout = text(&run);
    assert_eq!(run.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("test   ✓ success") && stdout.contains("build  ✓ success"), "{stdout}");
    assert!(stdout.contains("review ✗ failed") && stdout.contains("PLUE-L0001"), "{stdout}");
}

#[test]
fn monorepo_pushes_test_changes_and_dependents() {
    let copy = Copy::of(plue(), "monorepo");
    let planned = |paths: &[&str]| {
        for path in paths {
            let path = copy.repo().join(path);
            let before = std::fs::read_to_string(&path).unwrap_or_default();
            std::fs::write(path, before + "\n").unwrap();
        }
        let ids = ids_after_push(&copy);
        copy.commit();
        ids
    };
    assert_eq!(planned(&["services/web/test.sh"]), ["test-web", "report"]);
    assert_eq!(planned(&["services/worker/service.json"]), ["test-worker", "report"]);
    let all = ["test-api", "test-worker", "test-web", "report"];
    assert_eq!(planned(&["services/api/test.sh"]), all);
    assert_eq!(planned(&["LICENSE"]), all, "a file that belongs to no service may matter to all");
    assert_eq!(planned(&[]), ["report"]);
}

#[test]
fn production_deploys_have_an_extra_step() {
    let copy = Copy::of(plue(), "deploy");
    let plan = levels(&copy.plan(&["--input", "where=production"]));
    let lines: Vec<&str> = plan.lines().skip(1).collect();
    assert_eq!(lines, ["1 build", "2 backup", "3 upload", "4 check"]);
    let refused = copy.plue(&["run", "--input", "where=moon"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused));
}

fn ids_after_push(copy: &Copy) -> Vec<String> {
    let mut command = copy.command(&["plan", "--output", "json", "--event", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(br#"{"type": "push"}"#).unwrap();
    let output = child.wait_with_output().unwrap();
    let plan: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let steps = plan["steps"].as_array().unwrap().iter();
    steps.map(|step| step["id"].as_str().unwrap().to_owned()).collect()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}
