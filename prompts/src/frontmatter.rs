//! The parts of a prompt or role file: the frontmatter between `---` lines, and the text below.
//!
//! Must not read YAML: [`crate::header`] does. Lines are counted in the whole file.

use plue_plan::{Diagnostic, Span};

use crate::{codes, limits};

/// A file in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts {
    /// YAML, with an empty line in the place of the first `---`, so that line numbers are those of
    /// the file. `None`: the file has no frontmatter.
    pub(crate) frontmatter: Option<String>,
    /// Text after the frontmatter, with LF line ends.
    pub(crate) body: String,
    /// The line of the file on which `body` starts, from 1.
    pub(crate) body_line: u32,
}

/// Splits a file into frontmatter and body. CRLF becomes LF, a byte order mark is dropped, and the
/// final line end is not part of the body.
pub(crate) fn split(file: &str, text: &str) -> Result<Parts, Diagnostic> {
    if text.len() > limits::MAX_FILE_BYTES {
        let message =
            format!("the file has {} bytes; {} are allowed", text.len(), limits::MAX_FILE_BYTES);
        return Err(Diagnostic::error(codes::FILE_TOO_LARGE, message).at(Span::at(file, 1, 1)));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if let Some((before, _)) = text.split_once('\0') {
        let (line, column) = place(before, before.len());
        return Err(Diagnostic::error(codes::FILE_TOO_LARGE, "the file holds a NUL character")
            .at(Span::at(file, line, column)));
    }
    let text = text.replace("\r\n", "\n");
    parts(&text).map_err(|problem| problem.at(Span::at(file, 1, 1)))
}

fn parts(text: &str) -> Result<Parts, Diagnostic> {
    let mut lines = text.split_inclusive('\n');
    if !lines.next().is_some_and(is_fence) {
        return Ok(Parts { frontmatter: None, body: text.to_owned(), body_line: 1 });
    }
    let mut yaml = String::from("\n");
    let mut count = 1;
    let mut closed = false;
    for line in lines.by_ref() {
        count += 1;
        if is_fence(line) {
            closed = true;
            break;
        }
        yaml.push_str(line);
    }
    if !closed {
        return Err(Diagnostic::error(codes::NO_FRONTMATTER, "the frontmatter is not closed")
            .hint("put a line `---` after it"));
    }
    if yaml.len() > limits::MAX_FRONTMATTER_BYTES {
        let message = format!(
            "the frontmatter has {} bytes; {} are allowed",
            yaml.len(),
            limits::MAX_FRONTMATTER_BYTES
        );
        return Err(Diagnostic::error(codes::FILE_TOO_LARGE, message));
    }
    Ok(Parts { frontmatter: Some(yaml), body: lines.collect(), body_line: count + 1 })
}

fn is_fence(line: &str) -> bool {
    line.trim_end_matches([' ', '\t', '\n', '\r']) == "---"
}

/// The line and column, both from 1, of a byte offset.
pub(crate) fn place(text: &str, offset: usize) -> (u32, u32) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let lines = before.matches('\n').count();
    let columns = before.get(line_start..).unwrap_or_default().chars().count();
    (number(lines + 1), number(columns + 1))
}

/// A count as the number that diagnostics use. Files are far smaller than 4 Gi characters.
pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

// === impl Parts ===

impl Parts {
    /// The body as a prompt: the line end of the last line belongs to the file, not to the text.
    pub(crate) fn without_last_line_end(&self) -> &str {
        self.body.strip_suffix('\n').unwrap_or(&self.body)
    }
}
