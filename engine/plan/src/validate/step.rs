//! One step: its id and name, then its options and its action.
//!
//! Must not look at other steps: see `dependency`.

use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    codes,
    id::IdError,
    step::Step,
    validate::{
        action, option,
        report::{Quoted, Report, Site},
        text, value,
    },
    walk,
};

pub(super) fn step(report: &mut Report, site: Site<'_>, step: &Step) {
    if step.id.check() == Err(IdError::Empty) {
        report.push(site.error(codes::BAD_ID, "the id is empty"));
    } else {
        text::identifier(report, site, codes::BAD_ID, "the id", step.id.as_str());
    }
    option::options(report, site, &step.options);
    action::action(report, site, &step.action);
    walk::step_parts(step, &mut |field, part| value::part(report, site, field, part));
    nul(report, site, step);
}

/// Looks for NUL in every text of `part`, keys included: neither an environment, a command line nor
/// Postgres can hold it.
pub(super) fn nul(report: &mut Report, site: Site<'_>, part: &impl Serialize) {
    // One pass over the JSON text costs less than visiting every field; where it is matters only
    // if there is one.
    let Ok(json) = serde_json::to_string(part) else {
        return;
    };
    if !json.contains("\\u0000") {
        return;
    }
    let Ok(json) = serde_json::from_str::<Json>(&json) else {
        return;
    };
    let mut path = Vec::new();
    if find_nul(&json, &mut path) {
        let place = path.join(".");
        report.push(
            site.error(
                codes::NUL_CHARACTER,
                format_args!("the text at {} holds the character NUL", Quoted(&place)),
            )
            .hint("remove it: no environment, command line or database can hold it"),
        );
    }
}

fn find_nul(json: &Json, path: &mut Vec<String>) -> bool {
    let mut inside = |key: String, inner: &Json| {
        let here = key.contains('\0');
        path.push(key);
        let found = here || find_nul(inner, path);
        if !found {
            path.pop();
        }
        found
    };
    match json {
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => {
            (0..).zip(items).any(|(at, item): (usize, _)| inside(at.to_string(), item))
        }
        Json::Object(map) => map.iter().any(|(key, item)| inside(key.clone(), item)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}
