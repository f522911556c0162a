//! Syntax and length of names and texts.
//!
//! Must not know the position of a text; callers pass it.

use crate::{
    Diagnostic, codes,
    diagnostic::Code,
    id::{IdError, check_identifier},
    limits,
    shown::is_forbidden,
    validate::report::{Quoted, Report, Site},
};

/// The forbidden character of one line of text, and its position counted from 1.
fn forbidden_in(text: &str, lines: bool) -> Option<(usize, char)> {
    text.chars()
        .enumerate()
        .find(|(_, c)| is_forbidden(*c) && !(lines && matches!(c, '\n' | '\t')))
        .map(|(at, c)| (at + 1, c))
}

/// A text that people read: a name (one line, 1 to 256 characters).
pub(super) fn name(report: &mut Report, site: Site<'_>, what: &str, text: &str) {
    let length = text.chars().count();
    if text.trim().is_empty() {
        report.push(site.error(codes::NAME_LENGTH, format_args!("{what} is empty")));
    } else if length > limits::MAX_NAME_LEN {
        let max = limits::MAX_NAME_LEN;
        report.push(site.error(
            codes::NAME_LENGTH,
            format_args!("{what} has {length} characters, the limit is {max}"),
        ));
    }
    forbidden(report, site, what, text, false);
}

/// A longer text that people read: a description or goal. Line breaks and tabs are fine.
pub(super) fn description(report: &mut Report, site: Site<'_>, what: &str, text: &str) {
    let length = text.chars().count();
    if length > limits::MAX_DESCRIPTION_LEN {
        let max = limits::MAX_DESCRIPTION_LEN;
        report.push(site.error(
            codes::DESCRIPTION_LENGTH,
            format_args!("{what} has {length} characters, the limit is {max}"),
        ));
    }
    forbidden(report, site, what, text, true);
}

fn forbidden(report: &mut Report, site: Site<'_>, what: &str, text: &str, lines: bool) {
    if let Some((at, c)) = forbidden_in(text, lines) {
        let code = u32::from(c);
        report.push(
            site.error(
                codes::FORBIDDEN_CHARACTER,
                format_args!("{what} holds the invisible character U+{code:04X} at position {at}"),
            )
            .hint("remove it: control and formatting characters can make a text show as another"),
        );
    }
}

/// A name that programs read: the rule of step ids.
pub(super) fn identifier(report: &mut Report, site: Site<'_>, code: Code, what: &str, text: &str) {
    if let Err(error) = check_identifier(text) {
        let problem = site.error(code, format_args!("{what} {}: {error}", Quoted(text)));
        let better = slug(text);
        report.push(match error {
            IdError::Character { .. } if !better.is_empty() => {
                problem.hint(format!("for example `{better}`"))
            }
            IdError::Character { .. } | IdError::Empty | IdError::TooLong(_) => problem,
        });
    }
}

fn slug(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let replaced: String =
        text.chars().take(limits::MAX_ID_LEN).map(|c| if allowed(c) { c } else { '-' }).collect();
    replaced.trim_matches(['-', '.']).to_owned()
}

/// A non-empty text in one line for machines: no control characters.
pub(super) fn plain(report: &mut Report, site: Site<'_>, code: Code, what: &str, text: &str) {
    let max = limits::MAX_NAME_LEN;
    if text.trim().is_empty() {
        report.push(site.error(code, format_args!("{what} is empty")));
    } else if text.chars().count() > max {
        report.push(site.error(code, format_args!("{what} is longer than {max} characters")));
    } else if forbidden_in(text, false).is_some() {
        report.push(
            site.error(code, format_args!("{what} {} holds an invisible character", Quoted(text))),
        );
    }
}

/// `[A-Z_][A-Z0-9_]*`, at most 128 characters: a secret reaches a step as the environment variable
/// of its name, and upper case separates it from inputs.
pub(super) fn secret_name(report: &mut Report, site: Site<'_>, text: &str) {
    if variable(text, |c| c.is_ascii_uppercase()) {
        return;
    }
    let problem = site.error(
        codes::BAD_SECRET_NAME,
        format_args!("secret {} is not named in upper-case letters, digits and `_`", Quoted(text)),
    );
    let better: String = text.chars().map(upper).collect();
    report.push(if variable(&better, |c| c.is_ascii_uppercase()) {
        problem.hint(format!("for example `{better}`"))
    } else {
        problem
    });
}

/// `[A-Za-z_][A-Za-z0-9_]*`, at most 128 characters.
pub(super) fn env_name(report: &mut Report, site: Site<'_>, text: &str) {
    if !variable(text, |c| c.is_ascii_alphabetic()) {
        report.push(
            site.error(
                codes::BAD_ENV_NAME,
                format_args!("{} is not the name of an environment variable", Quoted(text)),
            )
            .hint("letters a-z and A-Z, digits and `_`, with no digit in front"),
        );
    } else if is_reserved(text) {
        report.push(reserved(site, text));
    }
}

/// A secret that a step has under its own name: not that of a variable that plue sets.
pub(super) fn secret_variable(report: &mut Report, site: Site<'_>, text: &str) {
    secret_name(report, site, text);
    if is_reserved(text) {
        report.push(reserved(site, text));
    }
}

/// True if only plue sets the variable of this name: `PLUE` and those that start with `PLUE_`.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name == "PLUE" || name.starts_with("PLUE_")
}

fn reserved(site: Site<'_>, text: &str) -> Diagnostic {
    site.error(
        codes::BAD_ENV_NAME,
        format_args!("{} is a variable that plue sets itself", Quoted(text)),
    )
    .hint("names that start with `PLUE_` are reserved; choose another one")
}

/// `env:NAME` or `file:PATH`; the source itself is not quoted, as it may be a secret by mistake.
pub(super) fn secret_source(report: &mut Report, site: Site<'_>, name: &str, source: &str) {
    let is_path = |path: &str| {
        !path.is_empty()
            && path.chars().count() <= limits::MAX_PATTERN_LEN
            && !path.chars().any(is_forbidden)
    };
    let fits = match source.split_once(':') {
        Some(("env", variable)) => self::variable(variable, |c| c.is_ascii_alphabetic()),
        Some(("file", path)) => is_path(path),
        Some(_) | None => false,
    };
    if !fits {
        let what = format_args!("the source of secret {} is malformed", Quoted(name));
        report.push(site.error(codes::BAD_SECRET_SOURCE, what).hint(
            "`env:NAME` is a variable of plue's own environment, `file:PATH` a file; the value itself is stored with `plue secret set NAME`",
        ));
    }
}

fn upper(c: char) -> char {
    match c {
        '-' | '.' | ' ' => '_',
        other => other.to_ascii_uppercase(),
    }
}

fn variable(text: &str, letter: impl Fn(char) -> bool) -> bool {
    let inner = |c: char| letter(c) || c == '_' || c.is_ascii_digit();
    !text.is_empty()
        && text.len() <= limits::MAX_ID_LEN
        && text.chars().all(inner)
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

/// A path in the workspace: relative, no `..`, no control characters.
pub(super) fn path(report: &mut Report, site: Site<'_>, what: &str, text: &str) {
    let wrong = if text.is_empty() {
        "is empty"
    } else if text.starts_with(['/', '\\']) || text.get(1..2) == Some(":") {
        "is absolute"
    } else if text == "~" || text.starts_with("~/") {
        "begins with `~`, which only a shell reads"
    } else if text.split(['/', '\\']).any(|part| part == "..") {
        "leaves the workspace by `..`"
    } else if text.chars().any(is_forbidden) {
        "holds an invisible character"
    } else if text.chars().count() > limits::MAX_PATTERN_LEN {
        "is longer than 1,024 characters"
    } else {
        return;
    };
    report.push(
        site.error(codes::BAD_PATH, format_args!("{what} {} {wrong}", Quoted(text)))
            .hint("paths are relative to the workspace, like `build/out`"),
    );
}

/// Reports whether a text names a container image: `[registry[:port]/]name[:tag][@digest]`.
pub(super) fn image(report: &mut Report, site: Site<'_>, text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._/:@-".contains(c);
    let fits = !text.is_empty()
        && text.len() <= 512
        && text.chars().all(allowed)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && !text.contains("//")
        && !text.contains("..");
    if !fits {
        report.push(
            site.error(
                codes::BAD_IMAGE,
                format_args!("{} is not the name of a container image", Quoted(text)),
            )
            .hint("like `python:3.14-slim` or `ghcr.io/owner/name@sha256:…`"),
        );
    }
    fits
}
