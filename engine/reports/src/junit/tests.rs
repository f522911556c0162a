//! Documents as their writers write them, and documents that attack their reader.

use plue_plan::budget::{Budget, Meter};
use proptest::prelude::*;

use super::*;
use crate::read::TestReport;

fn meter() -> Meter {
    Meter::new(Budget { bytes: u64::MAX, items: 1_000, steps: 1_000_000 })
}

fn parsed(text: &str) -> Option<(Vec<TestCase>, Option<String>)> {
    let meter = meter();
    let mut collector = Collector::new(&meter);
    match read(text, &mut collector).unwrap() {
        Reading::Other => None,
        Reading::Report(problem) => Some((collector.finish(), problem)),
    }
}

fn shown(cases: &[TestCase]) -> Vec<(&str, &str, TestStatus)> {
    cases.iter().map(|case| (case.suite.as_str(), case.name.as_str(), case.status)).collect()
}

#[test]
fn pytest_reports_are_read() {
    let (cases, problem) = parsed(
        r#"<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="0" failures="1" skipped="1" tests="3" time="1,234.5">
  <testcase classname="tests.test_app.TestApp" name="test_ok[a &lt; b]" time="0.001" />
  <testcase classname="tests.test_app" name="test_bad" file="tests/test_app.py" line="7" time="1,000.5"><failure message="assert 1 == 2&#10; + where">def test_bad():
&gt;       assert 1 == 2</failure><system-out><![CDATA[printed <b>]]></system-out></testcase>
  <testcase classname="tests.test_app" name="test_later"><skipped type="pytest.skip" message="no"/></testcase>
</testsuite></testsuites>"#,
    )
    .unwrap();
    assert_eq!(problem, None);
    assert_eq!(
        shown(&cases),
        [
            ("tests.test_app.TestApp", "test_ok[a < b]", TestStatus::Passed),
            ("tests.test_app", "test_bad", TestStatus::Failed),
            ("tests.test_app", "test_later", TestStatus::Skipped),
        ]
    );
    let bad = &cases[1];
    assert_eq!(bad.message, "assert 1 == 2\n + where");
    assert_eq!(bad.output, "def test_bad():\n>       assert 1 == 2\nprinted <b>");
    assert_eq!((bad.file.as_deref(), bad.line), (Some("tests/test_app.py"), Some(7)));
    assert_eq!(bad.duration_us, Some(1_000_500_000));
}

#[test]
fn reruns_are_distinguished() {
    let (cases, _) = parsed(
        r#"<testsuites><testsuite name="app::bin">
<testcase name="passed later"><flakyFailure message="first"/></testcase>
<testcase name="failed always"><failure message="x"/><rerunFailure message="y"/></testcase>
<testcase name="flaky is fail"><failure message="x"/><flakyFailure message="y"/></testcase>
<testcase name="not run" status="notrun"/>
</testsuite></testsuites>"#,
    )
    .unwrap();
    assert_eq!(
        shown(&cases),
        [
            ("app::bin", "passed later", TestStatus::Flaky),
            ("app::bin", "failed always", TestStatus::Failed),
            ("app::bin", "flaky is fail", TestStatus::Failed),
            ("app::bin", "not run", TestStatus::Skipped),
        ]
    );
    assert_eq!(cases[0].message, "first");
}

#[test]
fn nested_suites_and_failed_setups_are_read() {
    let (cases, _) = parsed(
        r#"<testsuite name="outer"><testsuite name="inner"><testcase name="a"/></testsuite>
<error message="setup failed"/><testcase name="a"/><testcase name="a"><error>boom
second</error></testcase></testsuite>"#,
    )
    .unwrap();
    assert_eq!(
        shown(&cases),
        [
            ("inner", "a", TestStatus::Passed),
            ("outer", "(suite)", TestStatus::Failed),
            ("outer", "a", TestStatus::Failed),
        ]
    );
    assert_eq!(cases[2].message, "boom");
}

#[test]
fn document_types_are_refused() {
    let laughs = r#"<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">
<!ENTITY secret SYSTEM "file:///etc/passwd">]>
<testsuite name="&b;"><testcase name="&secret;"><failure>&secret;</failure></testcase></testsuite>"#;
    let (cases, problem) = parsed(laughs).unwrap();
    assert!(cases.is_empty(), "{cases:?}");
    assert!(problem.unwrap().contains("document type"));
    assert!(parsed("<!DOCTYPE html><html/>").is_none());
}

#[test]
fn unknown_entities_stay_text() {
    let text = r#"<testsuite><testcase name="&who;"><failure>&who; &amp; &#x41;</failure></testcase></testsuite>"#;
    let (cases, _) = parsed(text).unwrap();
    assert_eq!((cases[0].name.as_str(), cases[0].output.as_str()), ("&who;", "&who; & A"));
}

#[test]
fn depth_is_bounded() {
    let deep = format!("<testsuite>{}", "<testsuite>".repeat(1_000));
    let (_, problem) = parsed(&deep).unwrap();
    assert!(problem.unwrap().contains("deeper than 64"));
}

#[test]
fn cut_documents_keep_their_tests() {
    let (cases, problem) =
        parsed("<testsuite><testcase name='a'/><testcase name='b'><failure>x").unwrap();
    assert_eq!(shown(&cases), [("", "a", TestStatus::Passed)]);
    assert!(problem.is_some());
    let (cases, problem) = parsed("<testsuite><testcase name='a'/></testsuites>").unwrap();
    assert_eq!(cases.len(), 1);
    assert!(problem.unwrap().contains("no well-formed XML"));
}

#[test]
fn other_documents_are_no_reports() {
    for text in ["", "<html/>", "plain", "<coverage><testcase/></coverage>", "<!-- x -->"] {
        assert!(parsed(text).is_none(), "{text}");
    }
}

#[test]
fn budgets_end_the_reading() {
    let many: String = (0..2_000).map(|at| format!("<testcase name='{at}'/>")).collect();
    let text = format!("<testsuite>{many}</testsuite>");
    let meter = meter();
    let report = TestReport::read([("a.xml", text.as_bytes()), ("b.xml", b"<testsuite/>")], &meter);
    assert_eq!((report.files.len(), report.cases.len()), (1, 1_000));
    let problem = report.files[0].problem.as_deref().unwrap();
    assert!(problem.contains("more than 1000 items"), "{problem}");
}

#[test]
fn attributes_take_linear_time() {
    let many: String = (0..200_000).map(|at| format!(" a{at}='x'")).collect();
    let meter = Meter::new(Budget { bytes: u64::MAX, items: 10, steps: 200_000 });
    let text = format!("<testsuite{many}><testcase name='a'/></testsuite>");
    let report = TestReport::read([("a.xml", text.as_bytes())], &meter);
    assert_eq!((report.cases.len(), report.files[0].problem.as_deref()), (1, None));
}

#[test]
fn names_of_files_choose_the_reader() {
    for (path, is_report) in [
        ("a/b.xml", true),
        ("B.XML", true),
        ("t.tap", true),
        ("x.jsonl", true),
        ("xml", false),
        ("a.html", false),
    ] {
        assert_eq!(crate::is_candidate(path), is_report, "{path}");
    }
    let meter = meter();
    let report = TestReport::read(
        [
            ("page.xml", b"<html/>".as_slice()),
            ("r.xml", b"\xef\xbb\xbf<testsuite><testcase name='\xff'/></testsuite>"),
        ],
        &meter,
    );
    assert_eq!(report.files.len(), 1);
    assert_eq!(report.cases[0].name, "\u{fffd}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        pieces in prop::collection::vec(prop_oneof![
            Just("<testsuite name='s'>"), Just("</testsuite>"), Just("<testcase name='a'>"), Just("</testcase>"),
            Just("<failure>"), Just("</failure>"), Just("<![CDATA["), Just("]]>"), Just("&#0;"), Just("&x;"),
            Just("<!--"), Just("é"), Just("not ok 1 - a\n"), Just("1..9\n"), Just("{\"type\":\"test\"}\n"), Just("    "),
        ], 0..40),
    ) {
        let text = pieces.concat();
        for path in ["a.xml", "a.tap", "a.json"] {
            let report = TestReport::read([(path, text.as_bytes())], &meter());
            prop_assert!(report.cases.len() <= 1_000);
        }
    }
}
