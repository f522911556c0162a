//! The helpers of prompts: a frozen list, with the arguments that each takes.
//!
//! Handlebars' own versions are replaced, because they are silent about missing values and their
//! work has no bound. Must not grow without a line in `docs/reference/prompts.md`.

mod block;
mod list;
mod optional;
mod text;
mod value;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use handlebars::{Handlebars, PathAndJson, RenderError, RenderErrorReason};
use serde_json::Value as Json;

use crate::{error::Error, limits};

pub(crate) use block::weight;
pub use list::Form;
pub(crate) use list::find;
pub use list::{HELPERS, HelperSpec};
pub(crate) use optional::Optional;

/// The internal helper that prints a value; the survey wraps everything that a tag prints in it.
/// No template can name it: `.` ends a helper's name.
pub(crate) const PRINT: &str = "plue.print";
/// The internal helper around each argument of a partial, because the crate takes a missing one for
/// null.
pub(crate) const GIVEN: &str = "plue.given";
/// The internal helper at the start of each partial.
pub(crate) const ENTER: &str = "plue.enter";

/// Remaining budget of one rendering.
#[derive(Debug, Clone)]
pub(crate) struct Meter(Arc<AtomicU64>);

/// Puts the helpers, and no others, into a registry.
pub(crate) fn register(registry: &mut Handlebars<'_>, meter: &Meter, optional: &Optional) {
    registry.unregister_helper("log");
    block::register(registry, meter, optional);
    value::register(registry, meter, optional);
    text::register(registry, meter);
}

// === impl Meter ===

impl Meter {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(limits::MAX_WORK)))
    }

    /// Takes units of work.
    pub(crate) fn spend(&self, units: u64) -> Result<(), RenderError> {
        let spent = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(units));
        spent.map(drop).map_err(|_| stop(Error::TooMuchWork))
    }

    /// Takes the work of touching every byte of a value.
    fn touch(&self, value: &Json) -> Result<(), RenderError> {
        self.spend(size(value))
    }

    /// Takes the copy that the crate has made of an argument that is no part of the inputs.
    fn copied(&self, argument: &PathAndJson<'_>) -> Result<(), RenderError> {
        if argument.context_path().is_some() {
            return self.spend(limits::ELEMENT_WORK);
        }
        self.touch(argument.value())
    }
}

/// About the bytes of a value in memory. Inputs are at most [`limits::MAX_INPUT_DEPTH`] deep.
pub(crate) fn size(value: &Json) -> u64 {
    const NODE: u64 = 32;
    let inner = match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => 0,
        Json::String(text) => text.len() as u64,
        Json::Array(items) => items.iter().map(size).sum(),
        Json::Object(map) => map.iter().map(|(key, value)| key.len() as u64 + size(value)).sum(),
    };
    NODE + inner
}

/// Our error in the crate's clothes.
pub(crate) fn stop(error: Error) -> RenderError {
    RenderErrorReason::NestedError(Box::new(error)).into()
}

fn wrong(message: impl Into<String>, hint: impl Into<String>) -> RenderError {
    stop(Error::WrongValue { message: message.into(), hint: hint.into() })
}

/// The name under which a message speaks of an argument.
fn called(argument: &PathAndJson<'_>) -> String {
    match argument.relative_path() {
        Some(path) => format!("`{}`", crate::header::shown(path)),
        None => "the value".to_owned(),
    }
}

/// The argument, which must be there.
fn present<'a>(argument: Option<&'a PathAndJson<'a>>) -> Result<&'a Json, RenderError> {
    match argument {
        Some(argument) if !argument.is_value_missing() => Ok(argument.value()),
        Some(argument) => {
            let path = argument.relative_path().cloned().unwrap_or_default();
            Err(stop(Error::Missing { path }))
        }
        // The survey has counted the arguments.
        None => Err(wrong("an argument is missing", "see docs/reference/prompts.md")),
    }
}

/// Name of a value's kind, for messages.
fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
