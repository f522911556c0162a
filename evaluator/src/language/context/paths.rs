//! Paths and patterns as `ctx` takes them: relative, inside the repository, in one spelling.

use plue_wire::eval::is_pattern_allowed;
use pyo3::{prelude::*, types::PyString};

use crate::language::{
    codes,
    state::{Raise, problem},
};

/// Bytes of a path or pattern at most.
const MAX_PATH_BYTES: usize = 4_096;

/// A path in its one spelling.
pub(super) fn path_of(what: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = text_of(what, "a path", value)?;
    normalise(&text).map_err(|why| refuse(what, &text, why))
}

/// A pattern in its one spelling.
pub(super) fn pattern_of(what: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = text_of(what, "a pattern", value)?;
    if !is_pattern_allowed(&text) {
        return Err(refuse(what, &text, "is too long or has too many wildcards"));
    }
    normalise(&text).map_err(|why| refuse(what, &text, why))
}

fn text_of(what: &str, kind: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let Ok(text) = value.cast::<PyString>() else {
        let message = format!("{what} takes {kind} as text");
        return Err(problem(Raise::Type, codes::WRONG_TYPE, message, None));
    };
    match text.to_str() {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(refuse(what, "", "is not valid Unicode")),
    }
}

fn refuse(what: &str, text: &str, why: &str) -> PyErr {
    let shown: String = text.chars().take(200).collect();
    let message = format!("{what}: {shown:?} {why}");
    let hint = "paths are relative to the repository, like \"src/main.rs\"".to_owned();
    problem(Raise::Value, codes::BAD_PATH, message, Some(hint))
}

fn normalise(text: &str) -> Result<String, &'static str> {
    if text.len() > MAX_PATH_BYTES {
        return Err("is too long");
    }
    if text.chars().any(char::is_control) {
        return Err("holds a control character");
    }
    if text.starts_with('/') {
        return Err("is absolute");
    }
    if text.contains('\\') {
        return Err("holds a backslash; parts are separated by `/`");
    }
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err("leaves the repository with `..`"),
            ".git" => return Err("is inside `.git`"),
            other => parts.push(other),
        }
    }
    if parts.is_empty() {
        return Err("is empty");
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for text in ["a/b", "./a/b", "a//b", "a/./b/", "a/b/."] {
            assert_eq!(normalise(text).as_deref(), Ok("a/b"), "{text}");
        }
        assert_eq!(normalise("**/*.py").as_deref(), Ok("**/*.py"));
    }

    #[test]
    fn a_path_stays_in_the_repository() {
        for text in
            ["", ".", "/etc/passwd", "../x", "a/../../b", "a/..", "a\0b", "a\\b", ".git/config"]
        {
            assert!(normalise(text).is_err(), "{text:?}");
        }
    }
}
