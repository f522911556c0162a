//! Rendering: a template, its partials and checked values become text, within limits.
//!
//! Must not check inputs against a schema: [`crate::prompt`] has done so.

use std::io;

use handlebars::{
    Context, Handlebars, Output, RenderContext, RenderError, RenderErrorReason, Renderable,
};
use plue_plan::{Diagnostic, Span};
use serde_json::{Map, Value as Json};

use crate::{
    builtin::{self, Meter, Optional},
    codes,
    error::Error,
    frontmatter::number,
    header::shown,
    limits,
    partials::Linked,
    template::{Template, tag_at},
};

/// Text that grows to a limit.
struct Bounded(String);

impl Output for Bounded {
    fn write(&mut self, text: &str) -> Result<(), io::Error> {
        if self.0.len().saturating_add(text.len()) > limits::MAX_OUTPUT_BYTES {
            return Err(io::Error::other(Error::TooMuchOutput));
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// Renders. The inputs are no deeper than [`limits::MAX_INPUT_DEPTH`]; in blocks, what `schema` declares
/// as optional may be missing.
pub(crate) fn render(
    root: &Template,
    linked: &Linked<'_>,
    inputs: &Map<String, Json>,
    schema: Option<&Json>,
) -> Result<String, Diagnostic> {
    let mut registry = Handlebars::new();
    registry.set_strict_mode(true);
    // A prompt is no HTML: `<` stays `<`.
    registry.register_escape_fn(handlebars::no_escape);
    builtin::register(&mut registry, &Meter::new(), &Optional::of(schema));
    for (name, template) in &linked.partials {
        registry.register_template(name, template.compiled.clone());
    }
    let context = Context::from(Json::Object(inputs.clone()));
    let mut out = Bounded(String::new());
    let mut state = RenderContext::new(None);
    root.compiled
        .render(&registry, &context, &mut state, &mut out)
        .map_err(|error| problem(root, linked, &error))?;
    Ok(out.0)
}

fn problem(root: &Template, linked: &Linked<'_>, error: &RenderError) -> Diagnostic {
    let name = error.template_name.as_deref().unwrap_or_default();
    let template = linked.partials.get(name).copied().unwrap_or(root);
    let line = error.line_no.map_or(1, number);
    let column = error.column_no.map_or(1, number);
    let at: Span = template.origin.span(line, column);
    let tag = tag_at(&template.text, line, column).unwrap_or_default();
    explain(error.reason(), &shown(&tag)).at(at)
}

fn explain(reason: &RenderErrorReason, tag: &str) -> Diagnostic {
    if let Some(error) = ours(reason) {
        return ours_explained(error);
    }
    match reason {
        RenderErrorReason::MissingVariable(path) => {
            let path = path.clone().unwrap_or_else(|| tag.to_owned());
            ours_explained(&Error::Missing { path })
        }
        RenderErrorReason::InvalidJsonIndex(name) => {
            let message = format!("`{tag}`: a list has no `{}`", shown(name));
            let hint = match name.as_str() {
                "length" | "size" | "count" => "the number of items is `len list`",
                _ => "an item is `list.0`; for every item use `#each`",
            };
            Diagnostic::error(codes::WRONG_VALUE, message).hint(hint)
        }
        // Foreign enumeration; what can be known before was refused by the survey.
        other => {
            let message = format!("`{tag}`: {}", shown(&other.to_string()));
            Diagnostic::error(codes::WRONG_VALUE, message)
        }
    }
}

/// Our own error, from a helper or from the writer.
fn ours(reason: &RenderErrorReason) -> Option<&Error> {
    match reason {
        RenderErrorReason::NestedError(error) => error.downcast_ref(),
        RenderErrorReason::IOError(error) => error.get_ref()?.downcast_ref(),
        // Foreign enumeration.
        _ => None,
    }
}

fn ours_explained(error: &Error) -> Diagnostic {
    let message = error.to_string();
    match error {
        Error::Missing { path } => {
            let message = format!("`{}` has no value", shown(path));
            Diagnostic::error(codes::MISSING_VALUE, message)
                .hint("give the input, or write `default` with a second value")
        }
        Error::WrongValue { hint, .. } => {
            Diagnostic::error(codes::WRONG_VALUE, message).hint(hint.clone())
        }
        Error::TooMuchOutput => Diagnostic::error(codes::OUTPUT_TOO_LARGE, message)
            .hint("shorten values with `truncate`, or give the model files to read"),
        Error::TooMuchWork => Diagnostic::error(codes::RENDER_TOO_COSTLY, message)
            .hint("nest fewer `#each`, and give partials small contexts"),
    }
}
