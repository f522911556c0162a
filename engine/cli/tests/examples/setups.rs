//! The set-ups of `examples/setups`: the real `plue` runs each one in a repository of its own,
//! several at once, and each one ends as listed in the table.

use std::process::{Output, Stdio};

use serde_json::Value as Json;

use crate::{
    golden::{Copy, root},
    programs::plue,
};

/// Runs at the same time.
const AT_ONCE: usize = 4;

/// A run of a set-up, and how it ends.
struct SetUp {
    /// The workflow and further arguments of `plue run`.
    run: &'static str,
    exit: i32,
    /// Steps with their statuses, in the order of the plan.
    steps: &'static str,
    /// Texts among what the run prints.
    prints: &'static [&'static str],
}

const fn ends(
    run: &'static str,
    exit: i32,
    steps: &'static str,
    prints: &'static [&'static str],
) -> SetUp {
    SetUp { run, exit, steps, prints }
}

const TABLE: &[SetUp] = &[
    ends(
        "lint-test-build",
        0,
        "lint success, test success, build success",
        &["Ran 4 tests", "built dist/shop.tar"],
    ),
    ends("artifacts-between-steps", 0, "build success, test success", &["1.5.0"]),
    ends("timeouts", 0, "hangs timed_out, report success", &["the check was timed_out"]),
    ends(
        "secret-in-one-step --secret DEPLOY_TOKEN",
        0,
        "build success, deploy success",
        &["token here? no", "deploying with ***"],
    ),
    ends(
        "manual-inputs --input where=production --input replicas=3",
        0,
        "deploy success, tell success",
        &["3 x production"],
    ),
    ends("manual-inputs", 0, "deploy success, tell skipped", &["1 x staging"]),
    ends("manual-inputs --input where=moon", 2, "", &["staging", "production"]),
    ends("one-deploy-at-a-time", 0, "deploy success", &["deploying alone"]),
    ends(
        "notify-on-failure",
        1,
        "test failed, cheer skipped, notify success",
        &["the tests are failed"],
    ),
    ends(
        "always-clean-up",
        1,
        "start success, test failed, clean-up success",
        &["removed 'out/environment.lock'"],
    ),
    ends("changelog", 0, "collect success, tell success", &["1 change(s)", "- an example"]),
    ends("python-venv", 0, "venv success, test success", &["isolated: True"]),
    ends("node-tests", 0, "test success, summary success", &["# pass 2"]),
    ends(
        "pull-request-checks --event events/pull-request.json",
        0,
        "title success, unit success, end-to-end success",
        &["checking Sell pears", "slow tests"],
    ),
    ends("reusable --input service=api", 0, "check success", &["the api is well"]),
    ends(
        "release-train",
        0,
        "api success, web success, depart success",
        &["api is well, web is well"],
    ),
    ends(
        "version-matrix",
        0,
        "test-3.11-sqlite success, test-3.12-sqlite success, test-3.12-postgres success, \
         test-3.13-sqlite success, test-3.13-postgres success, green success",
        &["Python 3.13 on postgres", "5 combinations are green"],
    ),
    ends("coverage-gate", 0, "coverage success, gate success", &["the gate is open"]),
    ends(
        "release-on-tag --event events/tag.json",
        0,
        "version success, archive success, announce success",
        &["shop-1.4.0.tar.gz", "shop 1.4.0 is out"],
    ),
    ends("sharded-tests", 0, "shard-0 success, shard-1 success, total success", &["4 tests"]),
    ends("fan-out-fan-in", 0, "api success, web success, report success", &["SIZE_WEB=33"]),
    ends("flaky-tests", 0, "flaky success, told success", &["green after 3 tries"]),
    ends(
        "fix-until-green",
        0,
        "fix success, check success, done success",
        &["content after 3 passes"],
    ),
    ends("database-tests", 0, "integration success", &["apple -> 3"]),
    ends(
        "deploy-by-branch --event events/push-main.json",
        0,
        "test success, production success, preview skipped",
        &["live"],
    ),
    ends(
        "deploy-by-branch --event events/push-feature.json",
        0,
        "test success, production skipped, preview success",
        &["preview of feature/x"],
    ),
    ends("steps-made-at-run-time", 0, "make success, run success", &[]),
    ends(
        "typed-functions",
        0,
        "prices success, bill success, ship success",
        &["280 cents", "shipped for 281"],
    ),
    ends(
        "c-with-make",
        0,
        "make-debug success, make-release success",
        &["debug is fine", "release is fine"],
    ),
    ends(
        "only-what-changed",
        0,
        "check-api success, check-web success, done success",
        &["2 checked"],
    ),
    ends("weekly-report", 0, "report success", &["report written"]),
];

/// Set-ups with a test of their own.
const ALONE: [&str; 4] =
    ["cached-dependencies", "docs-with-approval", "unchanged-is-skipped", "version-from-git"];
/// Set-ups there are: those that issue 12 asks for.
const SET_UPS: usize = 32;

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// The id in the first line of `plue run`; `last` would be the newest child of a run with children.
fn id(printed: &str) -> &str {
    let rest = printed.split("· run ").nth(1);
    rest.and_then(|rest| rest.split_whitespace().next()).unwrap_or("last")
}

fn statuses(copy: &Copy, run: &str) -> String {
    let output = copy.plue(&["status", run, "--output", "json"]);
    let document: Json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let steps = document["steps"].as_array().cloned().unwrap_or_default();
    let word = |step: &Json, key: &str| step[key].as_str().unwrap_or("?").to_owned();
    let steps = steps.iter().map(|step| [word(step, "step"), word(step, "status")].join(" "));
    steps.collect::<Vec<_>>().join(", ")
}

/// Exit code, step statuses and output of a run that deviates from the table.
fn wrong(set_up: &SetUp, copy: &Copy, run: &Output) -> Option<String> {
    let printed = text(run);
    let steps = statuses(copy, id(&printed));
    let is_printed = set_up.prints.iter().all(|text| printed.contains(text));
    let is_right = run.status.code() == Some(set_up.exit) && steps == set_up.steps && is_printed;
    (!is_right)
        .then(|| format!("{}: {:?}, steps: {steps}\n{printed}", set_up.run, run.status.code()))
}

#[test]
fn setups_end_as_listed() {
    let mut found = Vec::new();
    for some in TABLE.chunks(AT_ONCE) {
        let started: Vec<_> = some
            .iter()
            .map(|set_up| {
                let copy = Copy::of(plue(), "setups");
                let args: Vec<&str> = std::iter::once("run").chain(set_up.run.split(' ')).collect();
                let mut command = copy.command(&args);
                command.env("DEPLOY_TOKEN", "hunter2-of-the-shop");
                let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
                (set_up, copy, child)
            })
            .collect();
        for (set_up, copy, child) in started {
            let run = child.wait_with_output().unwrap();
            found.extend(wrong(set_up, &copy, &run));
        }
    }
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), TABLE.len(), found.join("\n"));
}

#[test]
fn setups_are_all_tested_and_listed() {
    let copy = Copy::of(plue(), "setups");
    let list = copy.plue(&["list", "--output", "json"]);
    let list: Json = serde_json::from_slice(&list.stdout).unwrap();
    let index = std::fs::read_to_string(root().join("README.md")).unwrap();
    let workflows = list["workflows"].as_array().unwrap();
    assert!(workflows.len() >= SET_UPS, "{} set-ups", workflows.len());
    for workflow in workflows {
        let name = workflow["name"].as_str().unwrap_or_else(|| panic!("{workflow}"));
        let mut tested = TABLE.iter().map(|set_up| set_up.run.split(' ').next().unwrap());
        assert!(ALONE.contains(&name) || tested.any(|run| run == name), "{name} has no test");
        let file = workflow["file"].as_str().unwrap_or_else(|| panic!("{workflow}"));
        assert!(index.contains(&format!("(setups/{file})")), "{file} is not in the index");
    }
    let valid = copy.plue(&["validate"]);
    assert!(valid.status.success() && text(&valid).contains("0 warnings"), "{}", text(&valid));
}

#[test]
fn caches_are_restored_by_the_second_run() {
    let copy = Copy::of(plue(), "setups");
    let run = |expected: &str| {
        let output = copy.plue(&["run", "cached-dependencies"]);
        assert!(output.status.success() && text(&output).contains(expected), "{}", text(&output));
        std::fs::remove_dir_all(copy.repo().join(".deps")).unwrap();
    };
    run("| installed");
    run("| from the cache");
}

#[test]
fn unchanged_files_take_the_first_result() {
    let copy = Copy::of(plue(), "setups");
    let run = || {
        let stdout = text(&copy.plue(&["run", "unchanged-is-skipped"]));
        assert!(stdout.contains("| # THE SHOP"), "{stdout}");
        std::fs::remove_dir_all(copy.repo().join("out")).unwrap();
        stdout.contains("| compiled")
    };
    assert_eq!([run(), run()], [true, false]);
}

#[test]
fn approved_docs_are_published() {
    let copy = Copy::of(plue(), "setups");
    let waits = copy.plue(&["run", "docs-with-approval", "--no-wait"]);
    assert_eq!(waits.status.code(), Some(6), "{}", text(&waits));
    assert!(text(&waits).contains("Publish 1 page(s)?"), "{}", text(&waits));
    for args in [["approve", "last", "look"].as_slice(), &["resume", "last"]] {
        let output = copy.plue(args);
        assert!(output.status.success(), "{args:?}: {}", text(&output));
    }
    assert_eq!(statuses(&copy, "last"), "docs success, look success, publish success");
}

#[test]
fn versions_come_from_tags() {
    let copy = Copy::of(plue(), "setups");
    let run = |expected: &str| {
        let output = copy.plue(&["run", "version-from-git"]);
        assert!(output.status.success() && text(&output).contains(expected), "{}", text(&output));
    };
    copy.git(&["tag", "v1.4.0"]);
    run("| VERSION = \"1.4.0\"\n");
    copy.commit();
    run("| VERSION = \"1.4.0-1-g");
    std::fs::write(copy.repo().join("VERSION"), "9").unwrap();
    run("-dirty\"");
}
