//! Gates about the shape of items: `tuple-argument`, `fields`, `impl-files`.
//!
//! Must not resolve names beyond one crate: an `impl` belongs to the nearest definition of its type's name.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    crates::Crate,
    report::Violation,
    tokens::{Kind, Token, by_commas, closing},
    tree::Tree,
};

/// Name of the gate on parameters.
pub(crate) const TUPLE_ARGUMENT: &str = "tuple-argument";
/// Name of the gate on fields.
pub(crate) const FIELDS: &str = "fields";
/// Name of the gate on files of `impl` blocks.
pub(crate) const IMPL_FILES: &str = "impl-files";
/// Most fields of a struct.
const MOST_FIELDS: usize = 12;
/// Most files with an inherent `impl` of one type.
const MOST_FILES: usize = 3;

/// Parameters whose type is a tuple, also behind a reference.
pub(crate) fn tuple_arguments(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.sources_of_rust() {
        let tokens = &source.tokens;
        for at in 0..tokens.len() {
            for parameter in parameters(tokens, at) {
                if is_tuple(parameter) {
                    let advice = "a tuple hides an argument: give it a struct with names";
                    let line = parameter.first().map_or(1, |first| first.line);
                    found.push(Violation::new(path, line, TUPLE_ARGUMENT, advice));
                }
            }
        }
    }
    found
}

/// The parameters of the function that is declared at `at`, if one is.
fn parameters(tokens: &[Token], at: usize) -> Vec<&[Token]> {
    let named = tokens.get(at + 1).is_some_and(|name| name.kind == Kind::Word);
    if tokens[at].text != "fn" || !named {
        return Vec::new();
    }
    let Some(open) = skip_generics(tokens, at + 2) else { return Vec::new() };
    if tokens.get(open).is_none_or(|token| token.text != "(") {
        return Vec::new();
    }
    by_commas(tokens.get(open + 1..closing(tokens, open)).unwrap_or_default())
}

/// The index after the `<…>` at `at`, or `at` without one.
fn skip_generics(tokens: &[Token], at: usize) -> Option<usize> {
    if tokens.get(at)?.text != "<" {
        return Some(at);
    }
    let mut depth = 0_usize;
    for (place, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "<" => depth += 1,
            ">" if !matches!(tokens[place - 1].text.as_str(), "-" | "=") => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(place + 1);
        }
    }
    None
}

/// Whether the type of `pattern: type` is a tuple of two or more.
fn is_tuple(parameter: &[Token]) -> bool {
    let mut depth = 0_usize;
    let colon = parameter.iter().enumerate().find_map(|(at, token)| {
        match token.text.as_str() {
            "(" | "[" | "{" | "<" => depth += 1,
            ")" | "]" | "}" | ">" => depth = depth.saturating_sub(1),
            ":" if depth == 0 => return Some(at),
            _ => {}
        }
        None
    });
    let mut at = colon.map_or(parameter.len(), |colon| colon + 1);
    while let Some(token) = parameter.get(at) {
        match token.text.as_str() {
            "&" | "mut" => at += 1,
            "'" => at += 2,
            "(" => {
                let end = closing(parameter, at);
                return by_commas(parameter.get(at + 1..end).unwrap_or_default()).len() > 1;
            }
            _ => return false,
        }
    }
    false
}

/// Structs with too many fields.
pub(crate) fn fields(tree: &Tree) -> Vec<Violation> {
    let mut found = Vec::new();
    for (path, source) in tree.sources_of_rust() {
        let tokens = &source.tokens;
        for at in 0..tokens.len() {
            if tokens[at].text != "struct" || tokens[at].kind != Kind::Word {
                continue;
            }
            let Some(name) = tokens.get(at + 1).filter(|name| name.kind == Kind::Word) else {
                continue;
            };
            let count = count_fields(tokens, at + 2);
            if count > MOST_FIELDS {
                let advice = format!(
                    "`{}` has {count} fields (at most {MOST_FIELDS}): split it by owner",
                    name.text
                );
                found.push(Violation::new(path, name.line, FIELDS, advice));
            }
        }
    }
    found
}

/// Fields of the struct whose name ends before `at`: generics and bounds may stand in between.
fn count_fields(tokens: &[Token], at: usize) -> usize {
    let body = tokens.iter().enumerate().skip(at).find(|(_, token)| {
        token.kind == Kind::Sign && matches!(token.text.as_str(), "{" | "(" | ";")
    });
    let Some((open, token)) = body else { return 0 };
    if token.text == ";" {
        return 0;
    }
    by_commas(tokens.get(open + 1..closing(tokens, open)).unwrap_or_default()).len()
}

/// Types whose inherent `impl` blocks stand in too many files of their crate.
pub(crate) fn impl_files(tree: &Tree) -> Vec<Violation> {
    let crates = Crate::all(tree);
    let mut found = Vec::new();
    for each in &crates {
        let inside = format!("{}/", each.folder());
        let nested = |path: &str| {
            crates.iter().any(|other| {
                other.folder().len() > each.folder().len()
                    && path.starts_with(&format!("{}/", other.folder()))
            })
        };
        let (mut defined, mut implemented) = (Names::new(), Names::new());
        let files = tree.sources_of_rust().filter(|(path, _)| path.starts_with(&inside));
        for (path, source) in files.filter(|(path, _)| !nested(path)) {
            collect(path, &source.tokens, &mut defined, &mut implemented);
        }
        for (name, files) in &implemented {
            judge_type(name, defined.get(name), files, &mut found);
        }
    }
    found
}

/// From the name of a type to files and lines.
type Names<'t> = BTreeMap<&'t str, Vec<(&'t str, usize)>>;

fn judge_type(
    name: &str,
    defined: Option<&Vec<(&str, usize)>>,
    files: &[(&str, usize)],
    found: &mut Vec<Violation>,
) {
    let mut owners: BTreeMap<(&str, usize), BTreeSet<&str>> = BTreeMap::new();
    for (file, _) in files {
        let nearest = defined.into_iter().flatten().max_by_key(|(home, _)| near(home, file));
        // A type of another crate cannot have an inherent `impl` here.
        if let Some(home) = nearest {
            owners.entry(*home).or_default().insert(file);
        }
    }
    for ((home, line), files) in owners.into_iter().filter(|(_, files)| files.len() > MOST_FILES) {
        let advice = format!(
            "`impl {name}` stands in {} files (at most {MOST_FILES}): give each part an owner",
            files.len()
        );
        found.push(Violation::new(home, line, IMPL_FILES, advice));
    }
}

/// Length of the common beginning of two paths; a file is nearest to itself and to its own modules.
fn near(home: &str, file: &str) -> usize {
    let stem = home.trim_end_matches(".rs");
    let common = stem.bytes().zip(file.bytes()).take_while(|(one, other)| one == other).count();
    if home == file { usize::MAX } else { common }
}

fn collect<'t>(
    path: &'t str,
    tokens: &'t [Token],
    defined: &mut Names<'t>,
    implemented: &mut Names<'t>,
) {
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.kind == Kind::Word) {
        match token.text.as_str() {
            "struct" | "enum" | "union" => {
                if let Some(name) = tokens.get(at + 1).filter(|name| name.kind == Kind::Word) {
                    defined.entry(&name.text).or_default().push((path, name.line));
                }
            }
            "impl" if opens_item(tokens, at) => {
                if let Some(name) = inherent(tokens, at) {
                    implemented.entry(name).or_default().push((path, token.line));
                }
            }
            _ => {}
        }
    }
}

/// Whether the `impl` at `at` is an item and not a type (`-> impl Trait`, `x: impl Trait`).
fn opens_item(tokens: &[Token], at: usize) -> bool {
    at == 0 || matches!(tokens[at - 1].text.as_str(), "}" | ";" | "]" | "{" | "unsafe")
}

/// The name of the type, when the `impl` at `at` is inherent.
fn inherent(tokens: &[Token], at: usize) -> Option<&str> {
    let start = skip_generics(tokens, at + 1)?;
    let open = (start..tokens.len()).find(|place| tokens[*place].text == "{")?;
    let mut head = tokens.get(start..open)?;
    if head.iter().any(|token| token.text == "for" && token.kind == Kind::Word) {
        return None;
    }
    if let Some(bounds) = head.iter().position(|token| token.text == "where") {
        head = head.get(..bounds)?;
    }
    let end = head.iter().position(|token| token.text == "<").unwrap_or(head.len());
    head.get(..end)?.iter().rfind(|token| token.kind == Kind::Word).map(|name| name.text.as_str())
}

#[cfg(test)]
mod tests;
