//! Helpers that make text: `json`, `indent`, `truncate`, `fence`.
//!
//! Must not make more than the limit of the whole prompt, not even for a moment.

use std::io;

use handlebars::{Handlebars, Helper, JsonRender, PathAndJson, RenderError};
use serde::Serialize;
use serde_json::{Value as Json, ser::PrettyFormatter};

use super::{
    Meter, called, kind, stop,
    value::{Compute, Pure},
    wrong,
};
use crate::{error::Error, limits};

/// Characters of the language of a fence, at most.
const MAX_LANGUAGE: usize = 32;
/// The shortest fence of Markdown.
const MIN_FENCE: usize = 3;

pub(super) fn register(registry: &mut Handlebars<'_>, meter: &Meter) {
    let pure: [(&str, Compute); 4] = [
        ("json", json),
        ("indent", |args, _| indent(args)),
        ("truncate", |args, _| truncate(args)),
        ("fence", |args, _| fence(args)),
    ];
    for (name, compute) in pure {
        registry.register_helper(name, Pure::boxed(meter, compute));
    }
}

/// A writer that stops at the limit of the whole prompt.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > limits::MAX_OUTPUT_BYTES {
            return Err(io::Error::other(Error::TooMuchOutput));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn json(args: &[PathAndJson<'_>], h: &Helper<'_>) -> Result<Json, RenderError> {
    let spaces = match h.hash_get("indent") {
        Some(argument) => spaces(argument)?,
        None => 0,
    };
    let value = args.first().map_or(&Json::Null, PathAndJson::value);
    let mut out = Bounded(Vec::new());
    let written = if spaces == 0 {
        serde_json::to_writer(&mut out, value)
    } else {
        let margin = " ".repeat(spaces);
        let formatter = PrettyFormatter::with_indent(margin.as_bytes());
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, formatter);
        value.serialize(&mut serializer)
    };
    // JSON text is UTF-8, and a value has no other reason to fail.
    let text = written.ok().and_then(|()| String::from_utf8(out.0).ok());
    text.map(Json::String).ok_or_else(|| stop(Error::TooMuchOutput))
}

fn indent(args: &[PathAndJson<'_>]) -> Result<Json, RenderError> {
    let text = text_of(args, "indent")?;
    let spaces = match args.get(1) {
        Some(argument) => spaces(argument)?,
        None => 0,
    };
    let lines = text.matches('\n').count() + 1;
    within_limit(text.len().saturating_add(lines.saturating_mul(spaces)))?;
    let margin = " ".repeat(spaces);
    let mut out = String::with_capacity(text.len() + lines * spaces);
    for line in text.split_inclusive('\n') {
        if !line.trim_end_matches(['\n', '\r']).is_empty() {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(Json::String(out))
}

fn truncate(args: &[PathAndJson<'_>]) -> Result<Json, RenderError> {
    let text = text_of(args, "truncate")?;
    let most = args.get(1).map_or(&Json::Null, PathAndJson::value);
    let most = most.as_u64().and_then(|most| usize::try_from(most).ok());
    let most = most.filter(|most| *most > 0).ok_or_else(|| {
        wrong(
            "the second argument of `truncate` is no number of characters",
            "for example `truncate log 2000`",
        )
    })?;
    if text.chars().nth(most).is_none() {
        return Ok(Json::String(text));
    }
    let kept: String = text.chars().take(most - 1).collect();
    Ok(Json::String(kept + "…"))
}

/// A code fence is longer than every run of backticks in the text, so no text can close it.
fn fence(args: &[PathAndJson<'_>]) -> Result<Json, RenderError> {
    let text = text_of(args, "fence")?;
    let language = match args.get(1).map(PathAndJson::value) {
        None | Some(Json::Null) => "",
        Some(Json::String(language)) if is_language(language) => language,
        Some(other) => {
            let shown = crate::header::shown(&other.to_string());
            return Err(wrong(
                format!("{shown} is no language of a code fence"),
                "letters, digits and `+ - _ # .`, at most 32",
            ));
        }
    };
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let length = MIN_FENCE.max(longest + 1);
    within_limit(text.len().saturating_add(2 * length))?;
    let bar = "`".repeat(length);
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    Ok(Json::String(format!("{bar}{language}\n{text}{end}{bar}")))
}

fn is_language(text: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '_' | '#' | '.');
    text.len() <= MAX_LANGUAGE && text.chars().all(known)
}

/// The first argument as text: text, or a number or truth as it is printed.
fn text_of(args: &[PathAndJson<'_>], helper: &str) -> Result<String, RenderError> {
    let Some(argument) = args.first() else {
        return Ok(String::new());
    };
    match argument.value() {
        Json::String(text) => Ok(text.clone()),
        value @ (Json::Null | Json::Bool(_) | Json::Number(_)) => Ok(value.render()),
        value @ (Json::Array(_) | Json::Object(_)) => Err(wrong(
            format!("{} is {}, and `{helper}` needs text", called(argument), kind(value)),
            format!("make text of it: `{helper} (json …)`"),
        )),
    }
}

fn spaces(argument: &PathAndJson<'_>) -> Result<usize, RenderError> {
    let number = argument.value().as_u64().filter(|number| *number <= limits::MAX_INDENT);
    number.and_then(|number| usize::try_from(number).ok()).ok_or_else(|| {
        wrong(
            format!("{} is no number of spaces", called(argument)),
            format!("a whole number from 0 to {}", limits::MAX_INDENT),
        )
    })
}

fn within_limit(bytes: usize) -> Result<(), RenderError> {
    if bytes > limits::MAX_OUTPUT_BYTES {
        return Err(stop(Error::TooMuchOutput));
    }
    Ok(())
}
