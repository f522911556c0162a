//! The differences between a value and its schema, in our own words: the validator's types stay here.

use std::fmt::{self, Write as _};

use jsonschema::{ValidationError, error::ValidationErrorKind, paths::LocationSegment};

/// Characters of one message of the validator, which may repeat the value.
const MAX_MESSAGE_CHARS: usize = 300;

/// One difference between a value and its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path to the difference in the value; empty for the whole value.
    pub path: Vec<Segment>,
    /// The kind of difference.
    pub kind: Kind,
    /// The difference in words, with the value.
    pub message: String,
    /// The difference in words, without the value.
    pub masked: String,
}

/// One step of a path into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A property of an object.
    Property(String),
    /// An item of an array.
    Index(usize),
}

/// The kinds of differences that callers distinguish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A required property is missing.
    Missing(String),
    /// Properties that a closed object does not have.
    Unknown(Vec<String>),
    /// Any other difference, such as a wrong type.
    Misfit,
}

// === impl Violation ===

impl Violation {
    pub(super) fn of(error: &ValidationError<'_>) -> Self {
        let kind = match error.kind() {
            ValidationErrorKind::Required { property } => {
                Kind::Missing(property.as_str().unwrap_or_default().to_owned())
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                Kind::Unknown(unexpected.clone())
            }
            // Foreign enumeration.
            _ => Kind::Misfit,
        };
        let path = error.instance_path().into_iter().map(|segment| match segment {
            LocationSegment::Property(name) => Segment::Property(name.as_ref().to_owned()),
            LocationSegment::Index(index) => Segment::Index(index),
        });
        Self { path: path.collect(), kind, message: shown(error), masked: shown(error.masked()) }
    }

    /// Stands for the violations of a value that is too large to list them.
    pub(super) fn unlisted() -> Self {
        let message = "the value does not fit, and is too large to name the places".to_owned();
        Self { path: Vec::new(), kind: Kind::Misfit, masked: message.clone(), message }
    }

    /// The path as a JSON pointer; empty for the whole value.
    #[must_use]
    pub fn pointer(&self) -> String {
        self.path.iter().fold(String::new(), |path, segment| match segment {
            Segment::Property(name) => {
                format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
            }
            Segment::Index(index) => format!("{path}/{index}"),
        })
    }
}

/// The beginning of a foreign message, on one line. No more of it is made than is shown: it may
/// repeat a whole value.
pub(super) fn shown(message: impl fmt::Display) -> String {
    let mut start = Start { text: String::new(), left: MAX_MESSAGE_CHARS };
    let _cut_when_full = write!(start, "{message}");
    start.text
}

/// The beginning of a text; refuses what is written after it is full.
struct Start {
    text: String,
    left: usize,
}

// === impl Start ===

impl fmt::Write for Start {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for c in part.chars().filter(|c| !c.is_control()) {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            self.text.push(c);
        }
        Ok(())
    }
}

/// A message with the place it is about.
pub(super) fn at(place: &str, message: &str) -> String {
    match place {
        "" => message.to_owned(),
        place => format!("at `{}`: {message}", shown(place)),
    }
}
