//! The lists of `xtask/vocabulary.toml`, and their search in identifiers and prose.
//!
//! Must not know files or lines.

use std::collections::BTreeMap;

use toml::Table;

const LISTS: &str = include_str!("../../../vocabulary.toml");

type List = BTreeMap<String, String>;

/// The lists, each from a word to its replacement.
#[derive(Debug)]
pub(super) struct Words {
    everywhere: List,
    identifiers: List,
    /// Longer ones, as their parts.
    compounds: Vec<(Vec<String>, String, String)>,
    phrases: List,
    files: List,
    types: List,
    openings: List,
}

impl Words {
    /// The lists as compiled in. A list that does not parse is empty, and the tests fail.
    pub(super) fn shipped() -> Self {
        let table: Table = LISTS.parse().unwrap_or_default();
        let list = |name: &str| -> List {
            let entries = table.get(name).and_then(toml::Value::as_table).into_iter().flatten();
            entries.filter_map(|(word, to)| Some((word.clone(), to.as_str()?.to_owned()))).collect()
        };
        let (long, identifiers): (List, List) =
            list("identifiers").into_iter().partition(|(word, _)| word.contains(' '));
        let compound = |(word, instead): (String, String)| {
            (word.split(' ').map(str::to_owned).collect(), word, instead)
        };
        Self {
            everywhere: list("everywhere"),
            identifiers,
            compounds: long.into_iter().map(compound).collect(),
            phrases: list("phrases"),
            files: list("files"),
            types: list("types"),
            openings: list("openings"),
        }
    }

    pub(super) fn file(&self, stem: &str) -> Option<(&str, &str)> {
        entry(&self.files, stem)
    }

    pub(super) fn opening(&self, first: &str) -> Option<(&str, &str)> {
        entry(&self.openings, first.trim_end_matches([',', ':', '.', '?']))
    }

    pub(super) fn bare_type(&self, name: &str) -> Option<&str> {
        self.types.get(name).map(String::as_str)
    }

    /// Forbidden words among the parts of an identifier.
    pub(super) fn in_parts(&self, parts: &[String]) -> Vec<(&str, &str)> {
        let lists = [&self.everywhere, &self.identifiers];
        let single =
            parts.iter().filter_map(|part| lists.iter().find_map(|list| entry(list, part)));
        let compound = self
            .compounds
            .iter()
            .filter(|(long, _, _)| parts.windows(long.len()).any(|window| window == long))
            .map(|(_, word, instead)| (word.as_str(), instead.as_str()));
        single.chain(compound).collect()
    }

    /// Forbidden words and phrases in a line of prose.
    pub(super) fn in_prose(&self, line: &str) -> Vec<(&str, &str)> {
        let lower = line.to_lowercase();
        let words = lower.split(|c: char| !c.is_alphabetic());
        let single = words.filter_map(|word| entry(&self.everywhere, word));
        let phrases = self.phrases.iter().filter(|(phrase, _)| lower.contains(phrase.as_str()));
        single.chain(phrases.map(|(phrase, to)| (phrase.as_str(), to.as_str()))).collect()
    }
}

fn entry<'l>(list: &'l List, word: &str) -> Option<(&'l str, &'l str)> {
    list.get_key_value(word).map(|(word, instead)| (word.as_str(), instead.as_str()))
}

/// The words of an identifier in lower case: `RunLog`, `run_log` and `RUN_LOG` have the same.
pub(super) fn parts(identifier: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut previous = '_';
    for c in identifier.chars() {
        let starts = previous == '_'
            || c.is_uppercase() && previous.is_lowercase()
            || c.is_numeric() != previous.is_numeric();
        if c != '_' {
            match parts.last_mut().filter(|_| !starts) {
                Some(part) => part.extend(c.to_lowercase()),
                None => parts.push(c.to_lowercase().collect()),
            }
        }
        previous = c;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::{Words, parts};

    #[test]
    fn every_list_is_read() {
        let words = Words::shipped();
        for list in [&words.everywhere, &words.identifiers, &words.phrases, &words.files] {
            assert!(!list.is_empty());
        }
        assert!(!words.types.is_empty() && !words.openings.is_empty());
        assert!(!words.compounds.is_empty());
    }

    #[test]
    fn identifiers_are_split_into_words() {
        assert_eq!(parts("TellDriver"), ["tell", "driver"]);
        assert_eq!(parts("TELL_DRIVER"), ["tell", "driver"]);
        assert_eq!(parts("seed003"), ["seed", "003"]);
        assert_eq!(parts("_tell"), ["tell"]);
    }
}
