//! The catalogue and the pages in `docs/errors` agree, and each page's bad example is refused with
//! its code.

use std::{collections::BTreeSet, fs, path::PathBuf};

use plue_plan::Diagnostic;
use serde_json::{Map, Value as Json};

use super::ALL;
use crate::{Partials, PromptFile};

fn pages() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/errors")
}

fn blocks<'p>(page: &'p str, open: &str, close: &str) -> Vec<&'p str> {
    let parts = page.split(open).skip(1);
    parts.filter_map(|part| part.split(close).next()).collect()
}

fn problems(file: &str, inputs: &Map<String, Json>) -> Vec<Diagnostic> {
    match PromptFile::parse("greet.md", file) {
        Ok(prompt) => {
            let rendered = prompt.render(inputs, &Partials::new());
            rendered.err().unwrap_or_default()
        }
        Err(problems) => problems,
    }
}

#[test]
fn codes_and_error_pages_match() {
    let on_disk: BTreeSet<String> = fs::read_dir(pages())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("PLUE-T"))
        .collect();
    let known: BTreeSet<String> = ALL.iter().map(|(code, _)| format!("{code}.md")).collect();
    assert_eq!(on_disk, known);
    for (code, meaning) in ALL {
        let page = fs::read_to_string(pages().join(format!("{code}.md"))).unwrap();
        assert!(page.starts_with(&format!("# {code}: {meaning}\n")), "{code}");
        assert!(page.contains("## Fix"), "{code}");
    }
}

#[test]
fn the_examples_of_the_pages_are_refused_and_accepted_as_they_say() {
    let mut tried = 0;
    for (code, _) in ALL {
        let page = fs::read_to_string(pages().join(format!("{code}.md"))).unwrap();
        let files = blocks(&page, "````markdown\n", "\n````");
        let [refused, accepted] = files[..] else {
            continue;
        };
        let inputs = blocks(&page, "```json\n", "\n```");
        let inputs = inputs.first().map_or("{}", |inputs| inputs);
        let inputs: Map<String, Json> = serde_json::from_str(inputs).unwrap();
        let found = problems(refused, &inputs);
        assert!(!found.is_empty(), "{code}: {refused}");
        assert!(found.iter().all(|found| found.code == *code), "{found:?}");
        assert_eq!(problems(accepted, &inputs), [], "{code}: {accepted}");
        tried += 1;
    }
    assert!(tried >= ALL.len() - 14, "only {tried} pages have examples");
}
