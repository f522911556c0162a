//! A look at the text of a template before the Handlebars crate sees it.
//!
//! That crate recurses on nesting without a limit, and overflows the stack; it also needs time that
//! grows with the square of a template. So tags are found here first, nesting is counted, and what
//! could be read in two ways is refused: the count must never be lower than what the crate sees.
//! Must not judge meaning: that is [`crate::survey`]'s.

use plue_plan::Code;

use crate::{codes, limits};

/// A template that the crate must not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    /// Byte offset of the tag in the text.
    pub(crate) offset: usize,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

struct Scanner<'t> {
    text: &'t str,
    /// For each open block: itself and its `else if`s.
    blocks: Vec<usize>,
    deepest: usize,
    tags: usize,
}

/// Checks the whole text; gives the deepest nesting of blocks.
pub(crate) fn scan(text: &str) -> Result<usize, Fault> {
    let mut scanner = Scanner { text, blocks: Vec::new(), deepest: 0, tags: 0 };
    let mut at = 0;
    while let Some(start) = next_tag(text, at, "{{") {
        at = scanner.tag(start)?;
        scanner.tags += 1;
        if scanner.tags.saturating_mul(text.len()) > limits::MAX_COMPILE_WORK {
            let message = format!("the template has too many tags for its {} bytes", text.len());
            return Err(
                fault(codes::TEMPLATE_TOO_COSTLY, start, message).hint("use `#each`, or partials")
            );
        }
    }
    Ok(scanner.deepest)
}

/// The offset of the next opening braces that no single backslash escapes.
fn next_tag(text: &str, from: usize, braces: &str) -> Option<usize> {
    let mut at = from;
    loop {
        let start = at + text.get(at..)?.find(braces)?;
        let before = text.get(at..start).unwrap_or_default();
        let backslashes = before.len() - before.trim_end_matches('\\').len();
        if backslashes != 1 {
            return Some(start);
        }
        at = start + 2;
        if text.get(at..).is_some_and(|rest| rest.starts_with("{{")) {
            at += 2;
        }
    }
}

fn fault(code: Code, offset: usize, message: impl Into<String>) -> Fault {
    Fault { code, offset, message: message.into(), hint: None }
}

// === impl Fault ===

impl Fault {
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

// === impl Scanner ===

impl<'t> Scanner<'t> {
    fn rest(&self, at: usize) -> &'t str {
        self.text.get(at..).unwrap_or_default()
    }

    /// The offset after the tag that starts at `start`.
    fn tag(&mut self, start: usize) -> Result<usize, Fault> {
        let tag = self.rest(start);
        if tag.starts_with("{{{{") {
            return self.raw_block(start);
        }
        for (open, close) in [("{{!--", "--}}"), ("{{!", "}}")] {
            if let Some(comment) = tag.strip_prefix(open) {
                let end = comment.find(close).ok_or_else(|| {
                    fault(codes::TEMPLATE_SYNTAX, start, "the comment is not closed")
                        .hint(format!("close it with `{close}`"))
                })?;
                return Ok(start + open.len() + end + close.len());
            }
        }
        let end = inside_end(self.text, start)?;
        let inside = self.text.get(start + 2..end).unwrap_or_default();
        self.block(start, inside)?;
        Ok(end + 2)
    }

    /// `{{{{raw}}}} … {{{{/raw}}}}`: what is inside is no template.
    fn raw_block(&self, start: usize) -> Result<usize, Fault> {
        let open = |at: usize| {
            let end = self.rest(at).find("}}}}").map(|found| at + found + 4);
            end.filter(|end| end - at <= limits::MAX_TAG_BYTES)
                .ok_or_else(|| fault(codes::TEMPLATE_SYNTAX, at, "`{{{{` is not closed"))
        };
        let body = open(start)?;
        let close = next_tag(self.text, body, "{{{{").ok_or_else(|| {
            fault(codes::TEMPLATE_SYNTAX, start, "the raw block is not closed")
                .hint("close it with `{{{{/raw}}}}`")
        })?;
        if !self.rest(close).starts_with("{{{{/") {
            let message = "a raw block may not hold `{{{{`";
            return Err(fault(codes::TEMPLATE_SYNTAX, close, message));
        }
        open(close)
    }

    fn block(&mut self, start: usize, inside: &str) -> Result<(), Fault> {
        let word = inside.trim_start_matches(is_margin);
        let word = word.strip_prefix('~').unwrap_or(word);
        let word = word.trim_start_matches(is_margin);
        if word.starts_with('#') {
            self.blocks.push(1);
        } else if word.starts_with('/') {
            self.blocks.pop();
        } else if let Some(condition) = word.strip_prefix('^') {
            self.otherwise(start, condition)?;
        } else if let Some(condition) = word.strip_prefix("else") {
            // The crate reads `{{elsewhere}}` as `{{else where}}`.
            if condition.starts_with(|c: char| !is_margin(c) && c != '~') {
                let message = "a name that starts with `else` would be read as `{{else}}`";
                return Err(fault(codes::UNSUPPORTED_TAG, start, message)
                    .hint("write `this.` before the name"));
            }
            self.otherwise(start, condition)?;
        } else if word.starts_with('!') {
            return Err(fault(
                codes::TEMPLATE_SYNTAX,
                start,
                "this is no comment, nor anything else",
            )
            .hint("a comment starts with `{{!`, without `~` or spaces"));
        }
        let depth: usize = self.blocks.iter().sum();
        self.deepest = self.deepest.max(depth);
        if depth > limits::MAX_NESTING {
            return Err(fault(
                codes::TOO_DEEP,
                start,
                format!(
                    "blocks are nested more than {} deep (each `else if` counts)",
                    limits::MAX_NESTING
                ),
            )
            .hint("move inner blocks into partials, or compute the value before"));
        }
        Ok(())
    }

    /// Parses the rest of `else` or `^`: nothing, or another condition, which nests.
    fn otherwise(&mut self, start: usize, condition: &str) -> Result<(), Fault> {
        let condition = condition.trim_matches(|c| c == '~' || is_margin(c));
        if condition.is_empty() {
            return Ok(());
        }
        match self.blocks.last_mut() {
            Some(block) => *block += 1,
            None => {
                let message = "sections like `{{^…}}` do not exist here";
                return Err(fault(codes::UNSUPPORTED_TAG, start, message)
                    .hint(format!("write `{{{{#unless {condition}}}}}…{{{{/unless}}}}`")));
            }
        }
        Ok(())
    }
}

fn is_margin(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// The offset of the `}}` that closes the tag at `start`.
///
/// `{{` inside a tag, an object literal, and brackets next to quotes are refused: the crate's
/// grammar and this function could disagree about the end of such a tag.
fn inside_end(text: &str, start: usize) -> Result<usize, Fault> {
    let unclosed = || fault(codes::TEMPLATE_SYNTAX, start, "the tag is not closed");
    let bytes = text.as_bytes();
    let mut at = start + 2;
    while bytes.get(at).is_some_and(|&byte| is_margin(char::from(byte)) || byte == b'~') {
        at += 1;
    }
    if bytes.get(at) == Some(&b'{') {
        at += 1;
    }
    let (mut quote, mut quoted, mut bracketed) = (None, false, false);
    let (mut brackets, mut depth) = (0_usize, 0_usize);
    while let Some(&byte) = bytes.get(at) {
        if at - start > limits::MAX_TAG_BYTES {
            let message = format!("the tag is not closed within {} bytes", limits::MAX_TAG_BYTES);
            return Err(fault(codes::TEMPLATE_TOO_COSTLY, start, message));
        }
        if bytes.get(at..at + 2) == Some(b"{{") {
            return Err(unclosed().hint("a tag may not hold `{{`, not even in quotes"));
        }
        match (quote, byte) {
            (Some(_), b'\\') => at += 1,
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => (quote, quoted) = (Some(byte), true),
            (None, b'{') => {
                let message = "object literals do not exist here";
                return Err(fault(codes::UNSUPPORTED_TAG, start, message));
            }
            (None, b'[') => (brackets, bracketed) = (brackets + 1, true),
            (None, b']') => brackets = brackets.wrapping_sub(1),
            (None, b'(') => depth += 1,
            (None, b')') => depth = depth.saturating_sub(1),
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => break,
            (None, _) => {}
        }
        if depth > limits::MAX_EXPRESSION_DEPTH || brackets > limits::MAX_EXPRESSION_DEPTH {
            let message =
                format!("the expression is nested more than {} deep", limits::MAX_EXPRESSION_DEPTH);
            return Err(fault(codes::TOO_DEEP, start, message));
        }
        at += 1;
    }
    if at >= bytes.len() {
        return Err(unclosed().hint("close it with `}}`"));
    }
    if bracketed && (quoted || brackets != 0) {
        let message = "brackets and quotes do not go together in one tag";
        return Err(fault(codes::UNSUPPORTED_TAG, start, message)
            .hint("write `list.0.name` instead of `list.[0].name`"));
    }
    Ok(at)
}

#[cfg(test)]
mod tests;
