//! A YAML or JSON text as a tree of values with their places.
//!
//! Must not know what a workflow is. Bounded in size, depth and work before anything is kept, so
//! that no text can take more than a second or run a later walk out of stack.

use plue_plan::Span;
use serde_json::{Map, Number, Value as Json};

use crate::workflow::problems::Problems;

mod compose;
mod scalar;

pub(crate) use scalar::is_lossy;

/// Bytes of a workflow file: a whole plan as JSON must fit.
pub const MAX_FILE_BYTES: usize = plue_plan::limits::MAX_IR_BYTES;
/// Values of a file, those of aliases counted each time.
pub const MAX_NODES: usize = 400_000;
/// Bytes of text that the aliases of a file may stand for.
pub const MAX_ALIASED_BYTES: usize = 16 * 1024 * 1024;
/// Levels of nesting, aliases followed.
pub const MAX_DEPTH: usize = plue_plan::limits::MAX_VALUE_DEPTH + 32;

/// Format of a source text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML 1.2, core schema.
    Yaml,
    /// Strict JSON.
    Json,
}

/// A place in the text. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct SourcePosition {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) end_line: u32,
    pub(crate) end_column: u32,
    /// First byte, and the byte behind the last.
    pub(crate) bytes: (usize, usize),
}

/// One value with its source location.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) data: Data,
    pub(crate) place: SourcePosition,
}

/// The value itself, with the type of the YAML 1.2 core schema.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    /// A number, and how it is spelled.
    Number(Number, String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The key of a mapping; keys are texts.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) place: SourcePosition,
}

/// Reads a text. `None` if there is nothing to go on with; all that is wrong is in `problems`.
pub(crate) fn read(source: &str, format: Format, problems: &mut Problems<'_>) -> Option<Node> {
    if format == Format::Json && !is_json(source, problems) {
        return None;
    }
    compose::compose(source, format, problems)
}

/// JSON is nearly a part of YAML; what is YAML only is refused here.
fn is_json(source: &str, problems: &mut Problems<'_>) -> bool {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut reader = serde_json::Deserializer::from_str(source);
    let read = <serde::de::IgnoredAny as serde::Deserialize>::deserialize(&mut reader);
    let Err(error) = read.and_then(|_| reader.end()) else {
        return true;
    };
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text);
    let (line, column) = (error.line(), error.column());
    let deep = message.contains("recursion limit");
    let code = if deep { crate::codes::TOO_DEEP } else { crate::codes::NOT_YAML };
    let place = SourcePosition::point(line, column.max(1));
    problems.error(code, place, format!("this is not JSON: {message}"));
    false
}

// === impl SourcePosition ===

impl SourcePosition {
    pub(crate) fn point(line: usize, column: usize) -> Self {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).max(1);
        let (line, column) = (number(line), number(column));
        Self { line, column, end_line: line, end_column: column, bytes: (0, 0) }
    }

    pub(crate) fn span(self, file: &str) -> Span {
        let several = (self.end_line > self.line).then_some(self.end_line);
        let extent = several.is_some() || self.end_column > self.column;
        Span {
            file: file.to_owned(),
            line: self.line,
            column: self.column,
            end_line: several,
            end_column: extent.then_some(self.end_column),
        }
    }
}

// === impl Node ===

impl Node {
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) => Some(text),
            Data::Null | Data::Bool(_) | Data::Number(..) | Data::List(_) | Data::Map(_) => None,
        }
    }

    pub(crate) fn items(&self) -> Option<&[Self]> {
        match &self.data {
            Data::List(items) => Some(items),
            Data::Null | Data::Bool(_) | Data::Number(..) | Data::Text(_) | Data::Map(_) => None,
        }
    }

    pub(crate) fn entries(&self) -> Option<&[(Key, Self)]> {
        match &self.data {
            Data::Map(entries) => Some(entries),
            Data::Null | Data::Bool(_) | Data::Number(..) | Data::Text(_) | Data::List(_) => None,
        }
    }

    /// The value under a key of a mapping.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let found = self.entries()?.iter().find(|(key, _)| key.text == name);
        found.map(|(_, value)| value)
    }

    /// Name of its kind, for messages.
    pub(crate) fn kind(&self) -> String {
        match &self.data {
            Data::Null => "nothing".to_owned(),
            Data::Bool(truth) => format!("`{truth}`"),
            Data::Number(_, spelled) => format!("the number {spelled}"),
            Data::Text(_) => "a text".to_owned(),
            Data::List(_) => "a list".to_owned(),
            Data::Map(_) => "a mapping".to_owned(),
        }
    }

    /// As JSON, nothing interpreted.
    pub(crate) fn json(&self) -> Json {
        match &self.data {
            Data::Null => Json::Null,
            Data::Bool(truth) => Json::Bool(*truth),
            Data::Number(number, _) => Json::Number(number.clone()),
            Data::Text(text) => Json::String(text.clone()),
            Data::List(items) => items.iter().map(Self::json).collect(),
            Data::Map(entries) => {
                let entries = entries.iter().map(|(key, node)| (key.text.clone(), node.json()));
                Json::Object(entries.collect::<Map<_, _>>())
            }
        }
    }
}
