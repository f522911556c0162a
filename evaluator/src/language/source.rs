//! A source file and the checks before the parser: what people see is what Python reads.
//!
//! Must not know Python's grammar beyond strings and comments.

use plue_plan::{Diagnostic, Span};
use plue_wire::eval::MAX_SOURCE_BYTES;

use super::codes;

/// Most problems reported for one file by these checks.
const MAX_REPORTED: usize = 20;

/// A text that passed [`SourceFile::check`].
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
    /// Byte offset of each line.
    lines: Vec<usize>,
}

// === impl SourceFile ===

impl SourceFile {
    /// Wraps a text without checks.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let lines =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { path: path.to_owned(), text: text.to_owned(), lines }
    }

    /// Size, encoding and characters of a file.
    pub(crate) fn check(path: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        if bytes.len() > MAX_SOURCE_BYTES {
            let message =
                format!("the file is {} bytes, the limit is {MAX_SOURCE_BYTES}", bytes.len());
            return Err(vec![
                Diagnostic::error(codes::SOURCE_TOO_LARGE, message)
                    .at(Span::at(path, 1, 1))
                    .hint("move long scripts and prompts into files of the repository"),
            ]);
        }
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => return Err(vec![not_utf8(path, bytes, error.valid_up_to())]),
        };
        let file = Self::new(path, text.strip_prefix('\u{feff}').unwrap_or(text));
        let mut problems = file.cookie().into_iter().collect::<Vec<_>>();
        file.characters(&mut problems);
        if problems.is_empty() {
            Ok(file)
        } else {
            problems.truncate(MAX_REPORTED);
            Err(problems)
        }
    }

    /// A line without its end, from 1; empty beyond the end.
    pub(crate) fn line(&self, line: u32) -> &str {
        let index = (line as usize).saturating_sub(1);
        let Some(&start) = self.lines.get(index) else {
            return "";
        };
        let end = self.lines.get(index + 1).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }

    /// The column, in characters from 1, of a byte offset in a line.
    pub(crate) fn column(&self, line: u32, bytes: usize) -> u32 {
        let text = self.line(line);
        let mut end = bytes.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text[..end].chars().count() as u32 + 1
    }

    /// The place between two (line, byte offset) pairs as Python gives them.
    pub(crate) fn span(&self, start: (u32, usize), end: Option<(u32, usize)>) -> Span {
        let mut span = Span::at(&self.path, start.0.max(1), self.column(start.0, start.1));
        if let Some((line, bytes)) = end.filter(|end| end.0 >= start.0) {
            span.end_line = (line != start.0).then_some(line);
            span.end_column = Some(self.column(line, bytes));
        }
        span
    }

    fn span_at(&self, offset: usize, length: usize) -> Span {
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[line.saturating_sub(1)];
        let column = self.text[start..offset].chars().count() as u32 + 1;
        let mut span = Span::at(&self.path, line as u32, column);
        span.end_column = Some(column + length as u32);
        span
    }

    fn cookie(&self) -> Option<Diagnostic> {
        (1..=2).find_map(|number| {
            let line = self.line(number);
            let comment = line.trim_start_matches([' ', '\t', '\x0c']);
            if !comment.starts_with('#') {
                return None;
            }
            let at = comment.find("coding:").or_else(|| comment.find("coding="))?;
            let name: String = comment[at + 7..]
                .trim_start_matches([' ', '\t'])
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
                .collect();
            let known = name.to_ascii_lowercase().replace('_', "-");
            if name.is_empty() || matches!(known.as_str(), "utf-8" | "utf8") {
                return None;
            }
            let message = format!("the file declares the encoding `{name}`");
            let column = line.find(&name).unwrap_or(0);
            Some(
                Diagnostic::error(codes::CODING_COOKIE, message)
                    .at(self.span((number, column), Some((number, column + name.len()))))
                    .hint("save the file as UTF-8 and remove the declaration"),
            )
        })
    }

    fn characters(&self, problems: &mut Vec<Diagnostic>) {
        let bytes = self.text.as_bytes();
        let plain = |b: &u8| matches!(b, b'\n' | b'\t' | b' '..=b'~');
        if bytes.iter().all(plain) {
            return;
        }
        let code = code_mask(bytes);
        for (at, c) in self.text.char_indices() {
            let found = match c {
                '\n' | '\t' | '\x0c' | ' '..='~' => None,
                '\r' if bytes.get(at + 1) == Some(&b'\n') => None,
                '\r' => Some(lone_return()),
                c if c.is_control() => Some(control(c)),
                c if is_invisible(c) => Some(invisible(c)),
                c if code[at] => Some(foreign(c)),
                _ => None,
            };
            if let Some(problem) = found {
                problems.push(problem.at(self.span_at(at, 1)));
                if problems.len() >= MAX_REPORTED {
                    return;
                }
            }
        }
    }
}

fn not_utf8(path: &str, bytes: &[u8], at: usize) -> Diagnostic {
    let before = &bytes[..at];
    let line = before.iter().filter(|b| **b == b'\n').count() as u32 + 1;
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() as u32 + 1;
    let message = format!("byte 0x{:02x} is not valid UTF-8", bytes[at]);
    Diagnostic::error(codes::NOT_UTF8, message)
        .at(Span::at(path, line, column))
        .hint("save the file as UTF-8")
}

fn lone_return() -> Diagnostic {
    Diagnostic::error(
        codes::LONE_CARRIAGE_RETURN,
        "a carriage return without a line feed hides what follows it",
    )
    .hint("end lines with a line feed")
}

fn control(c: char) -> Diagnostic {
    Diagnostic::error(
        codes::CONTROL_CHARACTER,
        format!("the control character U+{:04X} is not allowed", c as u32),
    )
    .hint(format!("in a string, write \"\\x{:02x}\"", c as u32))
}

fn invisible(c: char) -> Diagnostic {
    Diagnostic::error(
        codes::INVISIBLE_CHARACTER,
        format!("the invisible character U+{:04X} is not allowed", c as u32),
    )
    .hint("remove it; in a string, write it as an escape")
}

fn foreign(c: char) -> Diagnostic {
    Diagnostic::error(
        codes::NON_ASCII_NAME,
        format!("{c:?} (U+{:04X}) stands outside a string or comment", c as u32),
    )
    .hint("names are written with ASCII letters, digits and `_`")
}

/// Bidirectional controls, zero-width characters, tags, line separators, fillers.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// For each byte, whether it stands outside strings and comments.
fn code_mask(bytes: &[u8]) -> Vec<bool> {
    let mut mask = vec![true; bytes.len()];
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'#' => line_end(bytes, at),
            b'"' | b'\'' => string_end(bytes, at),
            _ => {
                at += 1;
                continue;
            }
        };
        mask[at..end].fill(false);
        at = end;
    }
    mask
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    at + rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
}

fn string_end(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let triple = bytes.get(start + 1) == Some(&quote) && bytes.get(start + 2) == Some(&quote);
    let mut at = start + if triple { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'\n' if !triple => return at,
            b if b == quote && !triple => return at + 1,
            b if b == quote
                && bytes.get(at + 1) == Some(&quote)
                && bytes.get(at + 2) == Some(&quote) =>
            {
                return at + 3;
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests;
