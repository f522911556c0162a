//! Test results of a run, from the reports that its steps keep.

use serde_json::json;

use crate::support::Bench;

const WORKFLOW: &str = r#"
def workflow():
    return Plan(name="Tests", on_failure="continue", steps=[
        Step.bash("test", "cat report.in > report.xml; ! grep -q '<failure' report.xml", artifacts=["report.xml"]),
        Step.bash("tap", "printf '1..2\nok 1 - one\nok 2 - two # SKIP later\n' > out.tap", artifacts=["out.tap"]),
        Step.bash("odd", "printf '<!DOCTYPE x><testsuite/>' > odd.xml; echo '{}' > package.json",
                  artifacts=["odd.xml", "package.json"]),
        Step.bash("again", "test -e seen && F= || F='<failure/>'; touch seen; "
                  "echo \"<testsuite name='s'><testcase name='sometimes'>$F</testcase></testsuite>\" > again.xml; test -z \"$F\"",
                  artifacts=["again.xml"], retry=Retry(max_attempts=2, delay="0s", on=["exit:1"])),
    ])
"#;

fn report(failed: &[&str]) -> String {
    let case = |name: &&str| {
        let failure = if failed.contains(name) {
            "<failure message='assert 1 == 2'>trace of it</failure>"
        } else {
            ""
        };
        format!("<testcase classname='cart' name='{name}' time='0.5'>{failure}</testcase>")
    };
    let cases: String = ["total", "tax", "empty"].iter().map(case).collect();
    format!("<testsuites><testsuite name='app'>{cases}</testsuite></testsuites>")
}

#[test]
fn failed_tests_are_named_everywhere() {
    let bench = Bench::with(WORKFLOW);
    bench.write("report.in", report(&["total", "tax"]));
    bench.plue(&["run"]).ends(1).reports(&[
        "PLUE-R0019: test report odd.xml: it has a document type declaration",
        "tests: 2 failed, 1 flaky, 1 skipped, 2 passed",
        "cart › total",
    ]);
    let status = bench.plue(&["status", "last", "--output", "json"]).ends(0).json();
    assert_eq!(
        status["tests"]["counts"],
        json!({"passed": 2, "failed": 2, "skipped": 1, "flaky": 1, "new": 0})
    );
    let named: Vec<_> = status["tests"]["tests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|test| (test["name"].as_str().unwrap(), test["status"].as_str().unwrap()))
        .collect();
    assert_eq!(named, [("sometimes", "flaky"), ("tax", "failed"), ("total", "failed")]);
    // Another test fails than before: that one is new.
    bench.write("report.in", report(&["tax", "empty"]));
    bench.plue(&["run"]).ends(1).reports(&["tests: 2 failed (1 new)"]);
    bench.plue(&["status", "last"]).ends(0).shows(&["cart › empty (new)", "cart › tax\n"]);
    // A green run has no failed tests left.
    bench.write("report.in", report(&[]));
    bench.plue(&["run"]).ends(0);
    let status = bench.plue(&["status", "last"]).ends(0);
    status.shows(&["tests: 1 skipped, 5 passed"]);
}
