//! The catalogue and the pages in `docs/errors` agree; the examples on the pages are the fixtures
//! of validation: each bad example is refused with its code only.

use std::{collections::BTreeSet, fs, path::PathBuf};

use crate::{
    Code, Diagnostic, Plan, Severity, StepId, codes,
    validate::{ExpressionCheck, ExpressionError, Reference, Root, SourceMap, validate_with},
};

/// Enough of a language for the pages: `steps.x`, `inputs.x` and `context.x` are reads, an operator at the end
/// is an error.
pub(crate) struct ToyLanguage;

impl ExpressionCheck for ToyLanguage {
    fn references(&self, source: &str) -> Result<Vec<Reference>, ExpressionError> {
        if source.trim_end().ends_with(['+', '=', '(']) {
            let (offset, message) = (source.chars().count(), "unexpected end".to_owned());
            return Err(ExpressionError { offset, message });
        }
        let mut found = Vec::new();
        for (prefix, root) in
            [("steps.", Root::Step), ("inputs.", Root::Input), ("context.", Root::Context)]
        {
            for (at, _) in source.match_indices(prefix) {
                let name = source[at + prefix.len()..].split(|c: char| !c.is_alphanumeric());
                let name = name.into_iter().next().unwrap_or_default().to_owned();
                let offset = source[..at].chars().count();
                found.push(Reference { root, name, offset });
            }
        }
        Ok(found)
    }

    fn template_references(&self, source: &str) -> Result<Vec<Reference>, ExpressionError> {
        self.references(source)
    }
}

fn pages() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors")
}

fn examples(page: &str) -> Vec<&str> {
    let parts = page.split("```json\n").skip(1);
    parts.filter_map(|part| part.split("\n```").next()).collect()
}

pub(crate) fn problems(json: &str) -> Vec<Diagnostic> {
    match Plan::from_json(json.as_bytes()) {
        Ok(plan) => validate_with(&plan, &SourceMap::default(), &ToyLanguage),
        Err(problem) => vec![problem],
    }
}

#[test]
fn codes_and_error_pages_match() {
    let on_disk: BTreeSet<String> = fs::read_dir(pages())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("PLUE-P"))
        .collect();
    let expected = codes::ALL.iter().map(|(code, _)| format!("{code}.md"));
    assert_eq!(on_disk, expected.collect());
    for (code, _) in codes::ALL {
        let page = fs::read_to_string(pages().join(format!("{code}.md"))).unwrap();
        assert!(page.contains("## Example"), "{code}");
    }
}

#[test]
fn codes_are_unique_and_in_order() {
    let codes: Vec<&str> = codes::ALL.iter().map(|(code, _)| code.as_str()).collect();
    assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
}

#[test]
fn row_1_16_page_examples_are_refused_and_accepted() {
    let mut tried = 0;
    for (code, _) in codes::ALL {
        let page = fs::read_to_string(pages().join(format!("{code}.md"))).unwrap();
        let [refused, accepted] = examples(&page)[..] else {
            continue;
        };
        let found: Vec<Code> = problems(refused).into_iter().map(|found| found.code).collect();
        assert_eq!(found, std::slice::from_ref(code), "{refused}");
        assert_eq!(problems(accepted), [], "{code}: {accepted}");
        tried += 1;
    }
    assert!(tried >= codes::ALL.len() - 10, "only {tried} pages have examples");
}

#[test]
fn row_1_16_a_cycle_prints_its_path() {
    let found = problems(
        r#"{"version":1,"name":"x","steps":[
            {"id":"a","kind":"bash","run":"true","depends_on":["c"]},
            {"id":"b","kind":"bash","run":"true","depends_on":["a"]},
            {"id":"c","kind":"bash","run":"true","depends_on":["b"]}]}"#,
    );
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].code, codes::CYCLE);
    assert!(found[0].message.contains("a → c → b → a"), "{}", found[0].message);
    assert_eq!(found[0].severity, Severity::Error);
    assert!(StepId::new("a").check().is_ok());
}
