//! The short forms that expressions have in workflow files, written out in CEL.
//!
//! `build.output` becomes `steps.build.output`, `fn:name(x)` becomes `name(x)`, a variable its
//! value. Must not change anything else, so that a flow has one hash however it is written.

use plue_plan::validate::{ExpressionError, did_you_mean};
use serde_json::Value as Json;

use crate::{
    expression::{
        Expression, error_at,
        tokens::{MACROS, Tokens, Word},
    },
    scope::ROOTS,
    workflow::names::Names,
};

/// Bytes that an expression may have when it is written out.
const MAX_BYTES: usize = plue_plan::limits::MAX_EXPRESSION_BYTES;

/// Result of writing out an expression's short names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Written {
    /// An expression in CEL.
    Expression(String),
    /// It only names a variable: its value.
    Constant(Json),
    /// It only names a secret.
    Secret(String),
}

/// A piece of the source that is replaced.
struct Change {
    /// Bytes of the source.
    from: usize,
    to: usize,
    text: String,
}

/// Writes an expression out and checks it. The offset of an error counts characters of `source`.
pub(crate) fn rewrite(source: &str, names: &Names) -> Result<Written, ExpressionError> {
    let tokens = Tokens::of(source)?;
    let words: Vec<Word<'_>> = tokens.words().collect();
    let writer = Writer { source, words: &words, names, bound: bound(&words) };
    if let Some(whole) = writer.whole()? {
        return Ok(whole);
    }
    let changes = writer.changes()?;
    let mut written = String::with_capacity(source.len());
    let mut at = 0;
    for change in &changes {
        written.push_str(&source[at..change.from]);
        written.push_str(&change.text);
        at = change.to;
        if written.len() > MAX_BYTES {
            let message = format!("with its variables it is longer than {MAX_BYTES} bytes");
            return Err(error_at(source, change.from, &message));
        }
    }
    written.push_str(&source[at..]);
    let written = written.trim().to_owned();
    match Expression::parse(&written) {
        Ok(_) => Ok(Written::Expression(written)),
        Err(error) => Err(writer.located_in_source(error, &changes)),
    }
}

struct Writer<'w> {
    source: &'w str,
    words: &'w [Word<'w>],
    names: &'w Names,
    /// Variables of macros in scope.
    bound: Vec<&'w str>,
}

/// The names that macros bind: `list.exists(x, …)`.
fn bound<'w>(words: &[Word<'w>]) -> Vec<&'w str> {
    let mut bound = Vec::new();
    for window in words.windows(5) {
        let [dot, name, open, variable, comma] = window else { continue };
        let is_macro = dot.text == "." && MACROS.contains(&name.text) && open.text == "(";
        if is_macro && variable.is_name && comma.text == "," {
            bound.push(variable.text);
        }
    }
    bound
}

// === impl Writer ===

impl Writer<'_> {
    /// An expression that is nothing but a variable or a secret.
    fn whole(&self) -> Result<Option<Written>, ExpressionError> {
        let path: Vec<&str> = self.words.iter().map(|word| word.text).collect();
        match path.as_slice() {
            ["secrets", ".", name] => Ok(Some(Written::Secret((*name).to_owned()))),
            ["context", ".", "secrets", ".", name] => match self.names.secrets.get(*name) {
                Some(secret) => Ok(Some(Written::Secret(secret.clone()))),
                None => {
                    Err(self.unknown(4, "secret of `context.secrets`", self.names.secrets.keys()))
                }
            },
            ["context", ".", "variables", ".", name, rest @ ..] => {
                let Some(value) = self.names.variables.get(*name) else {
                    return Err(self.unknown_variable(4));
                };
                Ok(follow(value, rest).map(|value| Written::Constant(value.clone())))
            }
            [name, rest @ ..] if self.is_variable(name) => {
                let value = &self.names.variables[*name];
                Ok(follow(value, rest).map(|value| Written::Constant(value.clone())))
            }
            _ => Ok(None),
        }
    }

    fn is_variable(&self, name: &str) -> bool {
        !ROOTS.contains(&name)
            && !self.names.steps.contains(name)
            && self.names.variables.contains_key(name)
    }

    fn changes(&self) -> Result<Vec<Change>, ExpressionError> {
        let (mut changes, mut at) = (Vec::new(), 0);
        while let Some(word) = self.words.get(at) {
            let after_dot = at > 0 && self.words[at - 1].text == ".";
            at += if !word.is_name || after_dot { 1 } else { self.change(at, &mut changes)? };
        }
        Ok(changes)
    }

    /// Rewrites the name at this word; returns the number of words consumed.
    fn change(&self, at: usize, changes: &mut Vec<Change>) -> Result<usize, ExpressionError> {
        let word = self.words[at];
        let text = |ahead: usize| self.words.get(at + ahead).map_or("", |word| word.text);
        if word.text == "fn" && text(1) == ":" {
            let to = self.words.get(at + 2).map_or(word.end + 1, |name| name.start);
            changes.push(Change { from: word.start, to, text: String::new() });
            return Ok(2);
        }
        if let Some((id, words)) = self.step_at(at) {
            let plain = words == 1;
            let written = if plain { format!("steps.{id}") } else { format!("steps[{id:?}]") };
            let to = self.words[at + words - 1].end;
            changes.push(Change { from: word.start, to, text: written });
            return Ok(words);
        }
        if ROOTS.contains(&word.text) || self.bound.contains(&word.text) || text(1) == "(" {
            return Ok(1);
        }
        if word.text == "context" {
            return self.context(at, changes);
        }
        if word.text == "secrets" {
            return Err(self.secret_inside(at));
        }
        if let Some(value) = self.names.variables.get(word.text) {
            let to = word.end;
            changes.push(Change { from: word.start, to, text: value.to_string() });
            return Ok(1);
        }
        let implied = self.names.implicit && is_plain(word.text) && text(1) != ".";
        if implied {
            self.names.implied.borrow_mut().insert(word.text.to_owned());
        }
        if implied || self.names.inputs.contains(word.text) {
            let written = format!("inputs.{}", word.text);
            changes.push(Change { from: word.start, to: word.end, text: written });
            return Ok(1);
        }
        if matches!(word.text, "true" | "false" | "null") {
            return Ok(1);
        }
        Err(self.unknown_name(at))
    }

    /// The id of a task that begins at this word, also one like `x-y` or `a.b`, and its words.
    fn step_at(&self, at: usize) -> Option<(&str, usize)> {
        let start = self.words[at].start;
        let rest = &self.source[start..];
        let first = self.words[at].text;
        let mut found = None;
        // Ids that begin with this word, the longest last.
        for id in self.names.steps.range(first.to_owned()..) {
            if !id.starts_with(first) {
                break;
            }
            let ends = |words: usize| self.words.get(at + words - 1).map(|w| w.end - start);
            let words = (1..).take_while(|n| ends(*n).is_some_and(|end| end <= id.len())).last();
            let whole = words.is_some_and(|n| ends(n) == Some(id.len()));
            if whole && rest.starts_with(id.as_str()) {
                found = words.map(|words| (id.as_str(), words));
            }
        }
        // `steps` and the like are never tasks, and a function is no task.
        let called = self.words.get(at + 1).is_some_and(|next| next.text == "(");
        let reserved = ROOTS.contains(&first) || self.bound.contains(&first) || called;
        found.filter(|(_, words)| *words > 1 || !reserved)
    }

    fn context(&self, at: usize, changes: &mut Vec<Change>) -> Result<usize, ExpressionError> {
        let word = |ahead: usize| self.words.get(at + ahead).map_or("", |word| word.text);
        match (word(1), word(2), word(3), word(4)) {
            (".", "variables", ".", name) => {
                let Some(value) = self.names.variables.get(name) else {
                    return Err(self.unknown_variable(at + 4));
                };
                let to = self.words[at + 4].end;
                changes.push(Change { from: self.words[at].start, to, text: value.to_string() });
                Ok(5)
            }
            (".", "variables", _, _) => {
                let all = Json::Object(self.names.variables.clone().into_iter().collect());
                let to = self.words[at + 2].end;
                changes.push(Change { from: self.words[at].start, to, text: all.to_string() });
                Ok(3)
            }
            (".", "secrets", _, _) => Err(self.secret_inside(at)),
            // Keys are read in a run, so they stay as they are.
            (".", name, _, _) if self.names.keys.contains(name) => Ok(3),
            ("[", name, "]", _) if self.names.keys.contains(name.trim_matches(['"', '\''])) => {
                Ok(4)
            }
            (".", _, _, _) => {
                Err(self.unknown(at + 2, "key of `context.keys`", self.names.keys.iter()))
            }
            _ => {
                let message = "`context` has `context.KEY`, `context.variables.NAME` and `context.secrets.NAME`";
                Err(error_at(self.source, self.words[at].start, message))
            }
        }
    }

    fn secret_inside(&self, at: usize) -> ExpressionError {
        let message = "a secret is given as a whole, as in `\"${secrets.NAME}\"`, and is never part of a text or an expression";
        error_at(self.source, self.words[at].start, message)
    }

    fn unknown_variable(&self, at: usize) -> ExpressionError {
        self.unknown(at, "variable of `context.variables`", self.names.variables.keys())
    }

    fn unknown<'k>(
        &self,
        at: usize,
        what: &str,
        known: impl Iterator<Item = &'k String>,
    ) -> ExpressionError {
        let word = self.words.get(at).copied();
        let (name, start) = word.map_or(("", self.source.len()), |word| (word.text, word.start));
        let near = did_you_mean(name, known.map(String::as_str));
        let advice = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        error_at(self.source, start, &format!("`{name}` is no {what}{advice}"))
    }

    fn unknown_name(&self, at: usize) -> ExpressionError {
        let name = self.words[at].text;
        let known = self.names.all().chain(ROOTS);
        let advice = match did_you_mean(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                format!("it is no task, input or variable of this file; a text is written '{name}'")
            }
        };
        let message = format!("there is no `{name}` here; {advice}");
        error_at(self.source, self.words[at].start, &message)
    }

    /// Translates an error of the rewritten text to the source's offsets.
    fn located_in_source(&self, error: ExpressionError, changes: &[Change]) -> ExpressionError {
        // Leading space was cut off.
        let lead = self.source.len() - self.source.trim_start().len();
        let mut left = error.offset;
        let mut at = lead;
        for change in changes {
            let kept = self.source.get(at..change.from).unwrap_or("").chars().count();
            if left < kept {
                break;
            }
            left -= kept;
            at = change.from;
            let made = change.text.chars().count();
            if left < made {
                left = 0;
                break;
            }
            left -= made;
            at = change.to;
        }
        let before = self.source.get(..at).unwrap_or("").chars().count();
        ExpressionError { offset: before + left, message: error.message }
    }
}

/// The part of a value that `.name` and `[0]` lead to; `None` if something else follows.
fn follow<'v>(value: &'v Json, path: &[&str]) -> Option<&'v Json> {
    match path {
        [] => Some(value),
        [".", name, rest @ ..] => follow(value.get(*name)?, rest),
        ["[", index, "]", rest @ ..] => follow(value.get(index.parse::<usize>().ok()?)?, rest),
        _ => None,
    }
}

/// A name that an input may have.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !matches!(name, "true" | "false" | "null" | "in")
}
