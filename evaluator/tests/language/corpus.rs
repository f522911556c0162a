//! Runs whole folders of files; each header has the expected result.

use std::path::{Path, PathBuf};

use plue_plan::{Plan, Severity, validate::SourceMap};
use plue_wire::eval::EvalOutcome;

use crate::harness::{Observed, evaluate_all, files, request};

fn own(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder)
}

/// `# expect: error|killed` in one of the first lines.
fn expected(source: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(source);
    let line = text.lines().take(5).find_map(|line| line.strip_prefix("# expect:"));
    line.unwrap_or("ok").trim().split('|').map(|word| word.trim().to_owned()).collect()
}

/// Result of a file, and its messages.
fn verdict(a: &Observed, b: &Observed) -> (&'static str, String) {
    match (&a.outcome, &b.outcome) {
        (None, _) | (_, None) => ("killed", String::new()),
        (Some(EvalOutcome::Plans(one)), Some(EvalOutcome::Plans(other))) => {
            if one.iter().map(|p| &p.plan_json).ne(other.iter().map(|p| &p.plan_json)) {
                return ("error", "differs between hash seeds".to_owned());
            }
            for raw in one {
                let plan: Plan = match serde_json::from_str(&raw.plan_json) {
                    Ok(plan) => plan,
                    Err(error) => return ("unreadable", error.to_string()),
                };
                let places: SourceMap = serde_json::from_str(&raw.places_json).unwrap();
                let problems = plue_plan::validate::validate(&plan, &places);
                if let Some(problem) = problems.iter().find(|p| p.severity == Severity::Error) {
                    return ("error", problem.to_string());
                }
            }
            ("ok", String::new())
        }
        (Some(EvalOutcome::Failed { diagnostics_json }), _)
        | (_, Some(EvalOutcome::Failed { diagnostics_json })) => {
            ("error", diagnostics_json.clone())
        }
        (Some(EvalOutcome::Surveyed { .. }), _) | (_, Some(EvalOutcome::Surveyed { .. })) => {
            ("surveyed", String::new())
        }
        (Some(EvalOutcome::Needs(_)), _) | (_, Some(EvalOutcome::Needs(_))) => {
            ("needs", String::new())
        }
        (Some(EvalOutcome::Killed(_)), _) | (_, Some(EvalOutcome::Killed(_))) => {
            ("killed", String::new())
        }
    }
}

fn run(paths: &[PathBuf]) -> Vec<String> {
    let sources: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let requests: Vec<_> = sources.iter().map(|source| request("ci.plue.py", source)).collect();
    let (one, other) = (evaluate_all(&requests, 0), evaluate_all(&requests, 0x5eed));
    let mut wrong = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let (verdict, said) = verdict(&one[index], &other[index]);
        let name = path.file_name().unwrap().to_string_lossy();
        let mut expected = expected(&sources[index]);
        // Without the jail, what would be denied is stopped by the language or not at all.
        for word in &mut expected {
            if word == "denied" {
                *word = "error".to_owned();
            }
        }
        if std::env::args().any(|argument| argument == "--nocapture") {
            println!("{name}: {verdict} {}", said.chars().take(300).collect::<String>());
        }
        if !expected.iter().any(|word| word == verdict) {
            wrong.push(format!("{name}: {verdict}, expected {expected:?}: {said}"));
        }
    }
    wrong
}

fn assert_all_as_expected(folder: &Path, at_least: usize) {
    let paths = files(folder);
    assert!(paths.len() >= at_least, "only {} files in {}", paths.len(), folder.display());
    let wrong = run(&paths);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), paths.len(), wrong.join("\n"));
}

#[test]
fn every_benign_file_gives_a_valid_plan() {
    assert_all_as_expected(&own("benign"), 40);
}

#[test]
fn every_hostile_file_ends_as_its_header_says() {
    assert_all_as_expected(&own("hostile"), 300);
}
