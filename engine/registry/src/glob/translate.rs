//! From a pattern to a regular expression that fits the same names.

use std::{iter::Peekable, str::Chars};

/// The expression, anchored at both ends. A pattern with an open bracket gives one that does not
/// compile.
pub(super) fn to_regex(pattern: &str) -> String {
    let mut out = String::from(r"\A(?:");
    let mut chars = pattern.chars().peekable();
    let mut at_segment_start = true;
    // For each open brace, whether it stands at the start of a segment.
    let mut braces: Vec<bool> = Vec::new();
    while let Some(c) = chars.next() {
        at_segment_start = match (c, braces.last().copied()) {
            ('*', _) => stars(&mut chars, at_segment_start, &mut out),
            ('?', _) => {
                out.push_str("[^/]");
                false
            }
            ('[', _) => {
                set(&mut chars, &mut out);
                false
            }
            ('{', _) => {
                braces.push(at_segment_start);
                out.push_str("(?:");
                at_segment_start
            }
            ('}', Some(_)) => {
                braces.pop();
                out.push(')');
                false
            }
            (',', Some(at_start)) => {
                out.push('|');
                at_start
            }
            (other, _) => {
                out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4])));
                other == '/'
            }
        };
    }
    out.push_str(r")\z");
    out
}

/// `*` and `**`. Returns whether a segment starts behind it.
fn stars(chars: &mut Peekable<Chars<'_>>, at_segment_start: bool, out: &mut String) -> bool {
    let mut many = false;
    while chars.next_if_eq(&'*').is_some() {
        many = true;
    }
    let starts = many && at_segment_start && chars.next_if_eq(&'/').is_some();
    out.push_str(match (many, starts) {
        (false, _) => "[^/]*",
        (true, false) => ".*",
        // `**/x` fits `x` too.
        (true, true) => "(?:.*/)?",
    });
    starts
}

/// A set of characters, without `/` whatever stands in it.
fn set(chars: &mut Peekable<Chars<'_>>, out: &mut String) {
    let negative = chars.next_if(|c| matches!(c, '!' | '^')).is_some();
    out.push_str(if negative { "[^/" } else { "[[" });
    let mut first = true;
    for c in chars.by_ref() {
        match c {
            ']' if !first => {
                out.push_str(if negative { "]" } else { "]&&[^/]]" });
                return;
            }
            '-' => out.push('-'),
            other => {
                // Every character that could mean something inside a set.
                if other.is_ascii_punctuation() {
                    out.push('\\');
                }
                out.push(other);
            }
        }
        first = false;
    }
}
