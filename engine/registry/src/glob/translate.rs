//! From a pattern to a regular expression that fits the same names.

use std::{iter::Peekable, str::Chars};

/// The expression, anchored at both ends. A pattern with an open bracket gives one that does not
/// compile.
pub(super) fn to_regex(pattern: &str) -> String {
    let mut out = String::from(r"\A(?:");
    let mut chars = pattern.chars().peekable();
    let mut at_segment_start = true;
    let mut depth = 0_u32;
    while let Some(c) = chars.next() {
        match c {
            '*' => stars(&mut chars, at_segment_start, &mut out),
            '?' => out.push_str("[^/]"),
            '[' => set(&mut chars, &mut out),
            '{' => {
                depth += 1;
                out.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            ',' if depth > 0 => out.push('|'),
            other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
        at_segment_start = c == '/';
    }
    out.push_str(r")\z");
    out
}

fn stars(chars: &mut Peekable<Chars<'_>>, at_segment_start: bool, out: &mut String) {
    let mut many = false;
    while chars.next_if_eq(&'*').is_some() {
        many = true;
    }
    if !many {
        out.push_str("[^/]*");
    } else if at_segment_start && chars.next_if_eq(&'/').is_some() {
        // `**/x` fits `x` too.
        out.push_str("(?:.*/)?");
    } else {
        out.push_str(".*");
    }
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
