//! `plue doctor` on machines that lack something.

use crate::support::Bench;

#[test]
fn doctor_names_each_part_and_how_it_was_checked() {
    let bench = Bench::new();
    let json = bench.plue(&["doctor", "--output", "json"]).json();
    let checks = json["checks"].as_array().unwrap().clone();
    let find = |what: &str| checks.iter().find(|check| check["what"] == what).unwrap().clone();
    for what in ["state directory", "database", "git", "bash", "plue-evaluator"] {
        assert_eq!(find(what)["level"], "ok", "{}", find(what));
        assert_ne!(find(what)["how"], "");
    }
    assert!(checks.iter().any(|check| check["what"].as_str().unwrap().starts_with("jail: ")));
}

#[test]
fn doctor_fails_when_something_that_is_needed_is_missing() {
    let bench = Bench::new();
    let mut command = bench.command(&["doctor"]);
    command.env("PLUE_EVALUATOR_BINARY", "/nowhere/plue-evaluator");
    let said = crate::support::Said::of(command.output().unwrap()).ends(5);
    said.shows(&["fail  plue-evaluator", "→"]);
    let mut command = bench.command(&["plan"]);
    bench.write(".plue.py", crate::support::SMALL);
    command.env("PLUE_EVALUATOR_BINARY", "/nowhere/plue-evaluator");
    crate::support::Said::of(command.output().unwrap()).ends(5).tells(&["plue doctor"]);
}
