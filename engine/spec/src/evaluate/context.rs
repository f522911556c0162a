//! The values of context keys, made of the outputs of their writers.
//!
//! Only writers that succeeded count. Must not decide which writers a reader sees: that is the plan's.

use std::borrow::Cow;

use plue_plan::{StepId, context::Merge};
use serde_json::Value as Json;

use crate::{
    error::Error,
    evaluate::{Cost, Val},
    scope::Scope,
};

/// The value of a key.
pub(super) fn value<'a>(scope: &Scope<'a>, name: &str, cost: &mut Cost) -> Result<Val<'a>, Error> {
    let key = scope.context.and_then(|keys| keys.get(name));
    let merge = key.map_or(Merge::Error, |key| key.merge);
    match merge {
        Merge::Error | Merge::Last => match written(scope, name).next_back() {
            Some((_, output)) => Ok(Cow::Borrowed(output)),
            None => Err(Error::Missing {
                path: format!("context.{name}"),
                why: match key {
                    Some(key) => {
                        format!("no step that writes it succeeded: {}", listed(&key.writers))
                    }
                    None => "no step writes it before".to_owned(),
                },
                nearest: None,
            }),
        },
        Merge::List => {
            let mut items = Vec::new();
            for (_, output) in written(scope, name) {
                items.push(cost.own(Cow::Borrowed(output))?);
            }
            Ok(Cow::Owned(Json::Array(items)))
        }
        Merge::Map => {
            let mut map = serde_json::Map::new();
            for (id, output) in written(scope, name) {
                map.insert(id.as_str().to_owned(), cost.own(Cow::Borrowed(output))?);
            }
            Ok(Cow::Owned(Json::Object(map)))
        }
    }
}

/// True if a key has a value: without a reducer, if one of its writers succeeded.
pub(super) fn has(scope: &Scope<'_>, name: &str) -> bool {
    let key = scope.context.and_then(|keys| keys.get(name));
    key.is_some_and(|key| match key.merge {
        Merge::List | Merge::Map => true,
        Merge::Error | Merge::Last => written(scope, name).next().is_some(),
    })
}

/// The outputs of the writers that succeeded, in the order of the reducer.
fn written<'a>(
    scope: &Scope<'a>,
    name: &str,
) -> impl DoubleEndedIterator<Item = (&'a StepId, &'a Json)> {
    let key = scope.context.and_then(|keys| keys.get(name));
    let writers = key.map_or(&[][..], |key| key.writers.as_slice());
    writers.iter().filter_map(|id| {
        let (_, step) = scope.find(id.as_str()).filter(|(_, step)| step.status == "success")?;
        Some((*id, step.output))
    })
}

/// At most ten ids.
fn listed(writers: &[&StepId]) -> String {
    let mut ids: Vec<&str> = writers.iter().take(10).map(|id| id.as_str()).collect();
    if writers.len() > ids.len() {
        ids.push("…");
    }
    ids.join(", ")
}

#[cfg(test)]
mod tests;
