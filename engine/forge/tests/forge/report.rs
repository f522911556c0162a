//! The comment on a pull request, whole.

use plue_forge::feedback::{Outcome, PlanChange, PlanReport, Report, StepReport, TestsReport};
use plue_plan::{Plan, diff::diff};

fn plan(steps: &str, more: &str) -> Plan {
    let json = format!(r#"{{"version":1,"name":"CI","steps":[{steps}]{more}}}"#);
    serde_json::from_str(&json).unwrap()
}

fn report(name: &str, outcome: Outcome, change: PlanChange) -> PlanReport {
    PlanReport {
        name: name.to_owned(),
        file: ".plue.py".to_owned(),
        outcome,
        change,
        url: Some("https://ci.example/runs/1".to_owned()),
        took: Some("1m 12s".to_owned()),
        steps: Vec::new(),
        tests: None,
    }
}

#[test]
fn comments_show_plan_diff_and_results() {
    let before = plan(r#"{"id":"a","kind":"bash","run":"true"}"#, r#","budget":{"usd":2}"#);
    let after = plan(
        r#"{"id":"a","kind":"bash","run":"true"},{"id":"b","kind":"bash","run":"x","secrets":["KEY"]}"#,
        r#","budget":{"usd":5}"#,
    );
    let changed = PlanChange::Changed(diff(&before, &after));
    let mut failed = report("CI", Outcome::Failed, changed);
    failed.steps =
        vec![StepReport { id: "b".to_owned(), outcome: "failed: exit status 3".to_owned() }];
    let skipped = Outcome::Skipped { reason: "the branch `x` fits none of `main`".to_owned() };
    let report = Report {
        commit: "0123456789abcdef".to_owned(),
        plans: vec![failed, report("Docs", skipped, PlanChange::Unchanged)],
        notices: vec!["a maintainer must approve the secret KEY".to_owned()],
    };
    insta::assert_snapshot!(report.markdown());
}

#[test]
fn hostile_names_and_reasons_stay_text() {
    let evil = "x` @everyone <img src=x onerror=alert(1)> | [a](javascript:b)\n# big";
    let mut one =
        report(evil, Outcome::Invalid { problems: format!("```\n{evil}") }, PlanChange::New);
    one.url = Some("javascript:alert(1)".to_owned());
    one.steps = vec![StepReport { id: evil.to_owned(), outcome: evil.to_owned() }];
    let counts = "1 failed".to_owned();
    one.tests = Some(TestsReport { counts, named: vec![evil.to_owned()], left_out: 3 });
    let report =
        Report { commit: evil.to_owned(), plans: vec![one], notices: vec![evil.to_owned()] };
    let text = report.markdown();
    // Outside code spans and blocks nothing of it is left.
    let mut outside = String::new();
    let mut fence = None;
    for line in text.lines() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        match fence {
            Some(length) if ticks >= length => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(ticks),
            None => outside.extend(line.split('`').step_by(2)),
        }
    }
    for forbidden in ["@everyone", "<img", "javascript", "# big"] {
        assert!(!outside.contains(forbidden), "{forbidden} in {outside}");
    }
    assert_eq!(text.lines().filter(|line| line.starts_with("| `x")).count(), 1);
}

#[test]
fn comments_stay_within_the_forge_limit() {
    let plans = (0..2_000).map(|_| report("CI", Outcome::Success, PlanChange::Unchanged)).collect();
    let report = Report { plans, ..Report::default() };
    assert!(report.markdown().chars().count() <= plue_forge::limits::MAX_COMMENT_CHARS);
}

#[test]
fn failed_tests_are_named_up_to_a_limit() {
    let mut one = report("CI", Outcome::Failed, PlanChange::Unchanged);
    let named: Vec<String> = (0..25).map(|at| format!("cart › t{at}")).collect();
    one.tests = Some(TestsReport { counts: "30 failed (2 new)".to_owned(), named, left_out: 5 });
    let report = Report { commit: "c".to_owned(), plans: vec![one], notices: Vec::new() };
    let text = report.markdown();
    assert!(text.contains("`CI` tests: 30 failed (2 new)\n\n- `cart › t0`\n"), "{text}");
    assert!(text.contains("`cart › t19`") && !text.contains("`cart › t20`"), "{text}");
    assert!(text.contains("- and 10 more\n"), "{text}");
}
