//! Texts of a report, cut to their limits and without characters that a terminal or a database would act on.

use crate::limits::{MAX_MESSAGE, MAX_NAME, MAX_OUTPUT};

/// Text that is collected in pieces; only its start and its end are kept.
#[derive(Debug, Default)]
pub(crate) struct Excerpt {
    head: String,
    tail: String,
    dropped: usize,
}

// === impl Excerpt ===

impl Excerpt {
    const HALF: usize = MAX_OUTPUT / 2;

    pub(crate) fn push(&mut self, text: &str) {
        let room = Self::HALF.saturating_sub(self.head.len());
        let (first, rest) = text.split_at(floor(text, room));
        self.head.push_str(first);
        if rest.is_empty() {
            return;
        }
        let kept = &rest[ceil(rest, rest.len().saturating_sub(Self::HALF))..];
        self.dropped += rest.len() - kept.len();
        self.tail.push_str(kept);
        if self.tail.len() > 2 * Self::HALF {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let from = ceil(&self.tail, self.tail.len().saturating_sub(Self::HALF));
        self.dropped += from;
        self.tail.drain(..from);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.head.trim().is_empty() && self.tail.is_empty()
    }

    pub(crate) fn finish(mut self) -> String {
        self.trim();
        let (head, tail) = (cleaned(&self.head), cleaned(&self.tail));
        match self.dropped {
            0 => format!("{head}{tail}").trim().to_owned(),
            dropped => {
                format!("{head}\n… {dropped} bytes are left out …\n{tail}").trim().to_owned()
            }
        }
    }
}

/// The name of a suite, a test or a file, in one line.
pub(crate) fn name(text: &str) -> String {
    let text = cleaned(cut(text, MAX_NAME));
    if text.contains(['\n', '\t']) { text.replace(['\n', '\t'], " ") } else { text }
        .trim()
        .to_owned()
}

/// The message of a failure.
pub(crate) fn message(text: &str) -> String {
    cleaned(cut(text, MAX_MESSAGE)).trim().to_owned()
}

/// The start of a text, at most so many bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    &text[..floor(text, most)]
}

/// Removes control characters other than line feeds and tabs, and the terminal sequences that they begin.
fn cleaned(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\t' => out.push(c),
            '\u{1b}' if chars.peek() == Some(&'[') => {
                let _bracket = chars.next();
                // Parameters and intermediates, then one final byte (ECMA-48 §5.4).
                while chars.next_if(|c| ('\u{20}'..='\u{3f}').contains(c)).is_some() {}
                let _final = chars.next_if(|c| ('\u{40}'..='\u{7e}').contains(c));
            }
            c if c.is_control() => {}
            // Characters that reorder others (Unicode UAX #9) would show another text than the stored one.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c => out.push(c),
        }
    }
    out
}

/// The last boundary of a character at or before a byte.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The first boundary of a character at or after a byte.
fn ceil(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_are_removed() {
        assert_eq!(message("\u{1b}[31;1mred\u{1b}[0m\r\n\0x\u{202e}y"), "red\nxy");
        assert_eq!(message("cut \u{1b}[31"), "cut");
        assert_eq!(name(" a\nb\u{7} "), "a b");
    }

    #[test]
    fn excerpts_keep_both_ends() {
        let mut whole = Excerpt::default();
        whole.push(&"é".repeat(MAX_OUTPUT / 4));
        assert_eq!(whole.finish(), "é".repeat(MAX_OUTPUT / 4));
        let mut long = Excerpt::default();
        for _ in 0..100 {
            long.push(&format!("{}\n", "é".repeat(1_000)));
        }
        long.push("the end");
        let text = long.finish();
        assert!(text.len() < MAX_OUTPUT + 100, "{}", text.len());
        assert!(text.starts_with("ééé") && text.ends_with("\nthe end"), "{text}");
        assert!(text.contains(" bytes are left out …"), "{text}");
    }
}
