//! Branch, tag and path patterns: their alphabet and their brackets.
//!
//! Must not match anything: matching is `plue-registry`'s.

use crate::{
    codes, limits,
    validate::report::{Quoted, Report, Site},
};

/// Checks the patterns of one field.
pub(super) fn patterns(report: &mut Report, site: Site<'_>, field: &str, patterns: &[String]) {
    for pattern in patterns {
        let length = pattern.chars().count();
        if length > limits::MAX_PATTERN_LEN {
            let max = limits::MAX_PATTERN_LEN;
            report.push(site.error(
                codes::PATTERN_TOO_LONG,
                format_args!("a pattern of `{field}` has {length} characters, the limit is {max}"),
            ));
        } else if let Err((at, why, hint)) = check(pattern) {
            let problem = site.error(
                codes::BAD_PATTERN,
                format_args!(
                    "the pattern {} of `{field}`: {why} at position {at}",
                    Quoted(pattern)
                ),
            );
            report.push(if hint.is_empty() { problem } else { problem.hint(hint) });
        }
    }
}

/// Position (from 1, in characters), reason and hint.
type Wrong = (usize, String, &'static str);

fn check(pattern: &str) -> Result<(), Wrong> {
    let mut open: Option<(char, usize)> = None;
    let mut before = None;
    for (at, c) in (1..).zip(pattern.chars()) {
        match (open.map(|(bracket, _)| bracket), c) {
            (None, '[' | '{') => open = Some((c, at)),
            // The first of a set stands for itself.
            (Some('['), ']') if before_is_start(open, before, at) => {}
            (Some('['), ']') => open = None,
            (Some('['), '[' | '{' | '}') => {}
            (Some('{'), '}') => open = None,
            (Some('{'), ',') => {}
            (Some(_), '[' | '{') => {
                return Err((at, format!("`{c}` inside brackets"), ""));
            }
            (_, ']' | '}') => return Err((at, format!("`{c}` closes nothing"), "")),
            (_, ',') => {
                return Err((at, "`,`".to_owned(), "several patterns are a list: [\"a\", \"b\"]"));
            }
            (_, '.') if before == Some('.') => {
                return Err((at - 1, "`..`".to_owned(), "no branch, tag or path holds `..`"));
            }
            (_, c) if allowed(c) => {}
            (_, c) => {
                let what = format!("{} is not allowed", Quoted(c.encode_utf8(&mut [0; 4])));
                return Err((at, what, ALPHABET));
            }
        }
        before = Some(c);
    }
    match open {
        Some((bracket, at)) => Err((at, format!("`{bracket}` is not closed"), "")),
        None if pattern.is_empty() => Err((1, "it is empty".to_owned(), "`**` matches everything")),
        None => Ok(()),
    }
}

/// True if a set of characters begins right before this position: `[` or `[!`.
fn before_is_start(open: Option<(char, usize)>, before: Option<char>, at: usize) -> bool {
    open.is_some_and(|(_, start)| start + 1 == at || (start + 2 == at && before == Some('!')))
}

const ALPHABET: &str =
    "patterns are made of letters, digits, `. _ - / @ + # =` and `* ? [ ] { } !`";

fn allowed(c: char) -> bool {
    c.is_alphanumeric() || "._-/@+#=*?!".contains(c)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn patterns_of_real_repositories_are_accepted() {
        for pattern in [
            "main",
            "release/*",
            "**",
            "v[0-9]*.*",
            "{main,next}",
            "docs/**/*.md",
            "grüße/日本",
            "a@b+c#d=e",
            "!keep",
            "[!a]b",
            "dependabot/npm_and_yarn/x-1.2.3",
            "?",
            "[[]x[]].txt",
            "[!]]",
            "[{]a[}]",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn malformed_patterns_are_refused_at_their_position() {
        for (pattern, position) in [
            ("", 1),
            ("a..b", 2),
            ("a b", 2),
            ("a,b", 2),
            ("[a", 1),
            ("a]", 2),
            ("{a", 1),
            ("a\\b", 2),
            ("$(rm)", 1),
            ("x{a,{b}}", 5),
            ("a[]", 2),
            ("a\u{202e}b", 2),
            ("a|b", 2),
            ("..", 1),
        ] {
            let found = check(pattern).map_err(|(at, _, _)| at);
            assert_eq!(found, Err(position), "{pattern}");
        }
    }
}
