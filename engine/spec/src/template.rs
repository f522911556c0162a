//! Text with `${…}` parts. `$${` is a literal `${`.

use plue_plan::validate::{ExpressionError, Reference};
use serde_json::Value as Json;

use crate::{
    error::Error,
    expression::{Expression, error_at, tokens::closing_brace},
    number,
    reads::Reads,
    scope::Scope,
};

/// Expressions in one template.
pub const MAX_PARTS: usize = 1_000;
/// Bytes of the text that a template becomes.
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;

/// A parsed template: texts and expressions in order.
#[derive(Debug, Clone)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    /// With its offset in the template, in characters.
    Expression(usize, Box<Expression>),
}

// === impl Template ===

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// A part is no expression or is not closed; the offset counts characters of the whole
    /// template.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        let (mut parts, mut text, mut at, mut count) = (Vec::new(), String::new(), 0, 0);
        while let Some(found) = source[at..].find("${").map(|next| at + next) {
            if source[at..found].ends_with('$') {
                text.push_str(&source[at..found - 1]);
                text.push_str("${");
                at = found + 2;
                continue;
            }
            text.push_str(&source[at..found]);
            let start = found + 2;
            let Some(length) = closing_brace(&source[start..]) else {
                let message = "this `${` is not closed by `}`; write `$${` for the characters `${`";
                return Err(error_at(source, found, message));
            };
            count += 1;
            if count > MAX_PARTS {
                let message = format!("it has more than {MAX_PARTS} `${{…}}`");
                return Err(error_at(source, found, &message));
            }
            parts.push(Part::Text(std::mem::take(&mut text)));
            parts.push(expression(source, start, length)?);
            at = start + length + 1;
        }
        text.push_str(&source[at..]);
        parts.push(Part::Text(text));
        Ok(Self(parts))
    }

    /// The steps and inputs it names, with offsets in the whole template.
    #[must_use]
    pub fn references(&self) -> Vec<Reference> {
        let mut references = Vec::new();
        for part in &self.0 {
            if let Part::Expression(start, expression) = part {
                references.extend(expression.references().iter().map(|reference| Reference {
                    offset: reference.offset + start,
                    ..reference.clone()
                }));
            }
        }
        references
    }

    /// The text it becomes.
    ///
    /// # Errors
    /// A part has no value, or the text is longer than [`MAX_TEXT_BYTES`].
    pub fn render(&self, scope: &Scope<'_>, reads: &mut Reads) -> Result<String, Error> {
        let mut rendered = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => rendered.push_str(text),
                Part::Expression(_, expression) => {
                    rendered.push_str(&text_of(&expression.evaluate(scope, reads)?));
                }
            }
            if rendered.len() > MAX_TEXT_BYTES {
                let limit = MAX_TEXT_BYTES as u64;
                return Err(Error::TooCostly { limit });
            }
        }
        Ok(rendered)
    }
}

fn expression(source: &str, start: usize, length: usize) -> Result<Part, ExpressionError> {
    let before = source[..start].chars().count();
    let inner = &source[start..start + length];
    let parsed = Expression::parse(inner).map_err(|error| ExpressionError {
        offset: error.offset + before,
        message: error.message,
    })?;
    Ok(Part::Expression(before, Box::new(parsed)))
}

/// A value as text: texts as they are, numbers and truths as JSON writes them, `null` as nothing,
/// lists and objects as compact JSON.
pub fn text_of(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        Json::Number(number) => number::text(number),
        Json::Bool(_) | Json::Array(_) | Json::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
