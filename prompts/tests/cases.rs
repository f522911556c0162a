//! Prompt files with inputs, and their expected results: the cases of `cases.json` in this folder,
//! and the team's shared ones where a checkout has them.

#![cfg(test)]

use std::path::{Path, PathBuf};

use plue_prompts::{Partials, PromptFile};
use serde_json::{Map, Value as Json};

/// Text, or the codes and messages of all problems.
fn outcome(file: &str, data: &Map<String, Json>) -> Result<String, String> {
    let joined = |problems: Vec<plue_plan::Diagnostic>| {
        let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
        all.join("\n")
    };
    let prompt = PromptFile::parse("case.md", file).map_err(joined)?;
    prompt.render(data, &Partials::new()).map_err(joined)
}

fn read(path: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn text<'c>(case: &'c Json, key: &str) -> Option<&'c str> {
    case.get(key).and_then(Json::as_str)
}

fn file(case: &Json) -> String {
    match (text(case, "file"), text(case, "body")) {
        (Some(file), None) => file.to_owned(),
        (None, Some(body)) => format!("---\nname: case\n---\n{body}"),
        other => panic!("a case has a file or a body, not {other:?}"),
    }
}

/// Difference to the expectation; `None`: they agree.
fn judge(case: &Json) -> Option<String> {
    let id = text(case, "id").unwrap();
    let none = Map::new();
    let data = case.get("data").and_then(Json::as_object).unwrap_or(&none);
    let found = outcome(&file(case), data);
    let wanted = (text(case, "render"), text(case, "error"));
    match (wanted, &found) {
        ((Some(render), None), Ok(found)) if found == render => None,
        ((None, Some(error)), Err(found)) if !found.is_empty() => {
            // Our own cases name the code and words; the shared ones describe the problem.
            let parts = error.split(" … ").filter(|_| error.starts_with("PLUE-"));
            let absent: Vec<&str> = parts.filter(|part| !found.contains(part)).collect();
            (!absent.is_empty()).then(|| format!("{id}: {found:?} lacks {absent:?}"))
        }
        _ => Some(format!("{id}: found {found:?}, expected {wanted:?}")),
    }
}

fn judge_all(path: &Path, least: usize) {
    let cases = read(path);
    assert!(cases.len() >= least, "only {} cases", cases.len());
    let wrong: Vec<String> = cases.iter().filter_map(judge).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_case_of_ours_renders_or_is_refused_as_it_says() {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases.json");
    judge_all(&here, 60);
}

#[test]
fn every_shared_case_renders_or_is_refused_as_it_says() {
    let shared = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let shared = shared.join("../../shared/data/prompts/cases.json");
    if shared.exists() {
        judge_all(&shared, 13);
    }
}
