//! Reading: names, fields and elements, with the path for messages.
//!
//! A missing value is an error that names it, never an empty value; only the fields of an event
//! that do not apply are `null` (`docs/reference/language.md`).

use std::borrow::Cow;

use plue_plan::validate::did_you_mean;
use serde_json::Value as Json;

use crate::{
    error::Error,
    evaluate::{Cost, Val, context, kind_of},
    scope::{CONTEXT, EVENT_FIELDS, STEP_FIELDS, Scope, StepValues},
};

/// Fields listed in a message.
const MAX_LISTED: usize = 10;
/// Names that are compared for "did you mean", and taken over for a message.
const MAX_KNOWN: usize = 64;

/// Something that can be read or gone into.
pub(super) enum PathTarget<'s, 'a> {
    /// The map `steps`.
    Steps(&'s Scope<'a>),
    /// The map `context`.
    Context(&'s Scope<'a>),
    /// One step: `steps.<id>`.
    Step(&'a str, StepValues<'a>),
    /// A value, with its path if it comes from the scope.
    Value(Option<String>, Val<'a>),
}

// === impl PathTarget ===

impl<'s, 'a> PathTarget<'s, 'a> {
    pub(super) fn nameless(value: Val<'a>) -> Self {
        Self::Value(None, value)
    }

    /// The value of a name.
    pub(super) fn root(name: &str, scope: &'s Scope<'a>) -> Result<Self, Error> {
        let or_empty = |json: Option<&'a Json>| match json {
            Some(json) => Cow::Borrowed(json),
            None => Cow::Owned(Json::Object(serde_json::Map::new())),
        };
        let or_null = |json: Option<&'a Json>| json.map_or(Cow::Owned(Json::Null), Cow::Borrowed);
        let value = match name {
            "steps" => return Ok(Self::Steps(scope)),
            CONTEXT => return Ok(Self::Context(scope)),
            "event" => or_null(scope.event),
            "outputs" => or_null(scope.outputs),
            "inputs" => or_empty(scope.inputs),
            "env" => or_empty(scope.env),
            "visit" => Cow::Owned(scope.visit.into()),
            "attempt" => Cow::Owned(scope.attempt.into()),
            other => {
                let message = format!("there is no `{other}` here");
                return Err(Error::WrongType(message));
            }
        };
        Ok(Self::Value(Some(name.to_owned()), value))
    }

    /// Reads `self.name`.
    pub(super) fn field(self, name: &str, cost: &mut Cost) -> Result<Self, Error> {
        match self {
            Self::Context(scope) => {
                let value = context::value(scope, name, cost)?;
                Ok(Self::Value(Some(join(CONTEXT, name)), value))
            }
            Self::Steps(scope) => match scope.find(name) {
                Some((id, values)) => Ok(Self::Step(id, values)),
                None => Err(Error::UnknownStep {
                    id: name.to_owned(),
                    nearest: did_you_mean(name, scope.ids().take(4 * MAX_KNOWN)).map(str::to_owned),
                }),
            },
            Self::Step(id, values) => {
                let path = format!("{}.{name}", step_path(id));
                match step_field(&values, name) {
                    Some(value) => Ok(Self::Value(Some(path), value)),
                    None => Err(missing(path, name, STEP_FIELDS.into_iter(), "a step")),
                }
            }
            Self::Value(path, value) => {
                let is_event = path.as_deref() == Some("event");
                let inner = path.map(|path| join(&path, name));
                match get(value, name) {
                    Ok(value) => Ok(Self::Value(inner, value)),
                    Err(Json::Object(_)) if is_event && EVENT_FIELDS.contains(&name) => {
                        Ok(Self::Value(inner, Cow::Owned(Json::Null)))
                    }
                    Err(there) => Err(not_there(inner, name, &there)),
                }
            }
        }
    }

    /// Reads `self[index]`.
    pub(super) fn element(self, index: &Json, cost: &mut Cost) -> Result<Self, Error> {
        if let Json::String(name) = index {
            return self.field(name, cost);
        }
        let Self::Value(path, value) = self else {
            return Err(Error::WrongType("a step and its fields are named by texts".to_owned()));
        };
        let path = path.map(|path| format!("{path}[{index}]"));
        let Json::Array(items) = value.as_ref() else {
            let (of, by) = (kind_of(&value), kind_of(index));
            return Err(Error::WrongType(format!("{of} has no element that {by} names")));
        };
        let (length, at) = (items.len(), index.as_u64().and_then(|at| usize::try_from(at).ok()));
        match at.filter(|at| *at < length) {
            Some(at) => Ok(Self::Value(path, nth(value, at))),
            None => Err(Error::Missing {
                path: path.unwrap_or_else(|| format!("[{index}]")),
                why: format!("the list has {length} elements, counted from 0"),
                nearest: None,
            }),
        }
    }

    /// Evaluates `has(self.name)`.
    pub(super) fn has(&self, name: &str) -> bool {
        match self {
            Self::Steps(scope) => scope.find(name).is_some(),
            Self::Context(scope) => context::has(scope, name),
            Self::Step(_, values) => step_field(values, name).is_some(),
            Self::Value(_, value) => value.get(name).is_some(),
        }
    }

    /// Its path, if it has one, and its value.
    pub(super) fn into_value(self) -> Result<(Option<String>, Val<'a>), Error> {
        match self {
            Self::Value(path, value) => Ok((path, value)),
            Self::Steps(_) => Err(Error::WrongType("`steps` has no value; name a step".to_owned())),
            Self::Context(_) => {
                Err(Error::WrongType("`context` has no value; name a key".to_owned()))
            }
            Self::Step(id, values) => {
                let fields = STEP_FIELDS.iter().filter_map(|name| {
                    let value = step_field(&values, name)?;
                    Some(((*name).to_owned(), value.into_owned()))
                });
                let value = Json::Object(fields.collect());
                Ok((Some(step_path(id)), Cow::Owned(value)))
            }
        }
    }
}

fn step_field<'a>(values: &StepValues<'a>, name: &str) -> Option<Val<'a>> {
    match name {
        "status" => Some(Cow::Owned(Json::String(values.status.to_owned()))),
        "output" => Some(Cow::Borrowed(values.output)),
        "error" => Some(Cow::Owned(values.error.as_deref().into())),
        "visit" => Some(Cow::Owned(values.visit.into())),
        "attempts" => Some(Cow::Owned(values.attempts.into())),
        _ => None,
    }
}

fn step_path(id: &str) -> String {
    join("steps", id)
}

/// A path one step deeper, as it would be written.
fn join(path: &str, name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("{path}.{name}")
    } else {
        format!("{path}[{}]", Json::from(name))
    }
}

/// The field, or the value that does not have it.
fn get<'a>(value: Val<'a>, name: &str) -> Result<Val<'a>, Json> {
    match value {
        Cow::Borrowed(value) => match value.get(name) {
            Some(field) => Ok(Cow::Borrowed(field)),
            None => Err(outline(value)),
        },
        Cow::Owned(mut value) => match value.as_object_mut().and_then(|map| map.remove(name)) {
            Some(field) => Ok(Cow::Owned(field)),
            None => Err(value),
        },
    }
}

/// Of a map its keys only: enough for a message, and bounded by what is shown.
fn outline(value: &Json) -> Json {
    match value {
        Json::Object(map) => {
            map.keys().take(MAX_KNOWN).map(|key| (key.clone(), Json::Null)).collect()
        }
        Json::String(_) => Json::String(String::new()),
        Json::Array(_) => Json::Array(Vec::new()),
        Json::Null | Json::Bool(_) | Json::Number(_) => value.clone(),
    }
}

fn nth(value: Val<'_>, at: usize) -> Val<'_> {
    match value {
        Cow::Borrowed(value) => value.get(at).map_or(Cow::Owned(Json::Null), Cow::Borrowed),
        Cow::Owned(mut value) => Cow::Owned(value.get_mut(at).map_or(Json::Null, Json::take)),
    }
}

fn not_there(path: Option<String>, name: &str, there: &Json) -> Error {
    let path = path.unwrap_or_else(|| format!(".{name}"));
    match there {
        Json::Object(map) => missing(path, name, map.keys().map(String::as_str), "it"),
        Json::String(_) if is_output(&path) => Error::Missing {
            path,
            why: "the output is a text, as the step wrote no `key=value` lines or JSON to $PLUE_OUTPUT"
                .to_owned(),
            nearest: None,
        },
        Json::Null if is_output(&path) => Error::Missing {
            path,
            why: "the step has no output; it was skipped, failed or has not run".to_owned(),
            nearest: None,
        },
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            Error::Missing {
                path,
                why: format!("it would be a field of {}", kind_of(there)),
                nearest: None,
            }
        }
    }
}

/// True if a path is a field directly of a step's output.
fn is_output(path: &str) -> bool {
    let parent = path.rsplit_once(['.', '[']).map_or("", |(parent, _)| parent);
    path.starts_with("steps") && parent.ends_with(".output")
}

fn missing<'k>(
    path: String,
    name: &str,
    known: impl Iterator<Item = &'k str> + Clone,
    what: &str,
) -> Error {
    let nearest = did_you_mean(name, known.clone().take(MAX_KNOWN)).map(str::to_owned);
    let mut listed: Vec<&str> = known.clone().take(MAX_LISTED).collect();
    if known.count() > MAX_LISTED {
        listed.push("…");
    }
    let why = if listed.is_empty() {
        format!("{what} has no fields")
    } else {
        format!("{what} has {}", listed.join(", "))
    };
    Error::Missing { path, why, nearest }
}
