//! A template: its text, compiled and surveyed, and where it stands in its file.
//!
//! Must not render: [`crate::render`] does.

use std::sync::Arc;

use handlebars::{
    Template as Compiled, TemplateError, TemplateErrorReason, template::TemplateElement,
};
use plue_plan::{Diagnostic, Span};

use crate::{
    codes,
    frontmatter::{number, place},
    scan::{self, Fault},
    survey::{self, Survey},
};

/// The place of a text in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TextPosition {
    pub(crate) file: Arc<str>,
    /// The line of the file on which the text starts.
    pub(crate) line: u32,
}

/// A template that may be rendered.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) origin: TextPosition,
    pub(crate) text: Arc<str>,
    pub(crate) compiled: Compiled,
    pub(crate) survey: Survey,
}

/// Use of a text: a prompt, or a part that prompts include.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Prompt,
    Partial,
}

/// Compiles a text. `name` is what the crate calls it: the name of the partial, or nothing.
pub(crate) fn compile(
    origin: TextPosition,
    name: &str,
    text: &str,
    used_as: Use,
) -> Result<Template, Vec<Diagnostic>> {
    scan::scan(text).map_err(|fault| vec![scan_problem(&origin, text, fault)])?;
    let mut compiled = match used_as {
        Use::Prompt => compile_prompt(text),
        Use::Partial => Compiled::compile_with_name(text, name.to_owned()),
    }
    .map_err(|error| vec![syntax_problem(&origin, text, &error)])?;
    let survey = survey::survey(&mut compiled, text, &origin, used_as)?;
    let text = Arc::from(text);
    Ok(Template { origin, text, compiled, survey })
}

/// The line end that closes the last line of a prompt is no part of its text. But the crate must
/// see one there, else it does not know a block that stands alone on that line.
fn compile_prompt(text: &str) -> Result<Compiled, TemplateError> {
    let mut compiled = Compiled::compile_with_name(format!("{text}\n"), String::new())?;
    if let Some(TemplateElement::RawString(last)) = compiled.elements.last_mut()
        && last.ends_with('\n')
    {
        last.pop();
    }
    Ok(compiled)
}

fn scan_problem(origin: &TextPosition, text: &str, fault: Fault) -> Diagnostic {
    let (line, column) = place(text, fault.offset);
    let problem = Diagnostic::error(fault.code, fault.message).at(origin.span(line, column));
    match fault.hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn syntax_problem(origin: &TextPosition, text: &str, error: &TemplateError) -> Diagnostic {
    // The end that the crate sees may be beyond ours.
    let end = place(text, text.len());
    let found = error.pos().map(|(line, column)| (number(line), number(column)));
    let (line, column) = found.unwrap_or((1, 1)).min(end);
    let tag = tag_around(text, line, column);
    let (message, hint) = match error.reason() {
        TemplateErrorReason::MismatchingClosedHelper(open, close)
        | TemplateErrorReason::MismatchingClosedDecorator(open, close) => (
            format!(
                "`{}` is open, and `{}` is closed",
                open.trim_matches('"'),
                close.trim_matches('"')
            ),
            None,
        ),
        TemplateErrorReason::InvalidParam(param) => {
            (format!("`{}` is no argument", crate::header::shown(param)), None)
        }
        // Foreign enumeration: what is left is the grammar.
        _ => unexpected(text, tag.as_deref()),
    };
    let problem = Diagnostic::error(codes::TEMPLATE_SYNTAX, message).at(origin.span(line, column));
    match hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn unexpected(text: &str, tag: Option<&str>) -> (String, Option<String>) {
    let Some(tag) = tag else {
        let opened = text.contains("{{#");
        let message = if opened {
            "the template ends inside a block"
        } else {
            "the template ends in the middle"
        };
        return (message.to_owned(), Some("every `{{#name …}}` needs its `{{/name}}`".to_owned()));
    };
    let word = tag.trim_start_matches(['{', '~', ' ', '&', '#']);
    let hint = if word.starts_with('.') && !word.starts_with("..") {
        Some("write `this` instead of `.`")
    } else if word.starts_with('"') || word.starts_with('\'') {
        Some("a name with spaces is written `this.[a b]`")
    } else if word.starts_with('/') {
        Some("nothing is open that this could close")
    } else if word.starts_with("else") || word.starts_with('^') {
        Some("`{{else}}` stands inside `#if`, `#unless`, `#each` or `#with`")
    } else if word.starts_with('}') {
        Some("to print braces, write `\\{{`")
    } else {
        None
    };
    let message = format!("`{}` cannot be read", crate::header::shown(tag));
    (message, hint.map(str::to_owned))
}

/// The tag at whose start or in which a place is; `None` at the end of the text.
fn tag_around(text: &str, line: u32, column: u32) -> Option<String> {
    let (at, _) = tag_range(text, line, column)?;
    let before = text.get(..at)?;
    let open = before.rfind("{{").filter(|open| !text[*open..at].contains("}}"));
    let (line, column) = open.map_or((line, column), |open| place(text, open));
    tag_at(text, line, column)
}

/// The tag that starts at a place of a text; `None` at the end of the text.
pub(crate) fn tag_at(text: &str, line: u32, column: u32) -> Option<String> {
    const MOST: usize = 60;
    let (start, end) = tag_range(text, line, column)?;
    Some(text.get(start..end)?.chars().take(MOST).collect())
}

/// True if the tag at a place is alone on its line.
pub(crate) fn stands_alone(text: &str, (line, column): (u32, u32)) -> bool {
    let Some((start, end)) = tag_range(text, line, column) else {
        return false;
    };
    let (before, after) = (text.get(..start), text.get(end..));
    let before = before.unwrap_or_default().rsplit('\n').next();
    let after = after.unwrap_or_default().split('\n').next();
    let blank = |part: Option<&str>| part.is_none_or(|part| part.trim().is_empty());
    blank(before) && blank(after)
}

/// The bytes of the tag that starts at a place of a text.
fn tag_range(text: &str, line: u32, column: u32) -> Option<(usize, usize)> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.checked_sub(1)?;
    let mut starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1));
    let line_start = starts.nth(line)?;
    let inside = text.get(line_start..)?.char_indices().nth(column)?.0;
    let start = line_start + inside;
    let rest = text.get(start..)?;
    let end = rest.find("}}").map_or(rest.len(), |end| end + 2);
    let triple = rest.starts_with("{{{") && rest.get(end..)?.starts_with('}');
    Some((start, start + end + usize::from(triple)))
}

// === impl TextPosition ===

impl TextPosition {
    /// The place of a line and column of the text, in the file.
    pub(crate) fn span(&self, line: u32, column: u32) -> Span {
        let line = self.line.saturating_add(line.saturating_sub(1));
        Span::at(&*self.file, line, column)
    }
}
