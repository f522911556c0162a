//! Inputs: their names, and that default and choices fit the type.
//!
//! Must not judge values given to a run; [`fits`] is public for those who do.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::{
    codes,
    plan::{Input, InputType},
    validate::{
        report::{Quoted, Report, Site},
        text,
    },
};

pub(super) fn inputs(report: &mut Report, site: Site<'_>, inputs: &BTreeMap<String, Input>) {
    for (name, input) in inputs {
        text::identifier(report, site, codes::BAD_NAME, "the input", name);
        if let Some(description) = &input.description {
            let what = format!("the description of input {}", Quoted(name));
            text::description(report, site, &what, description);
        }
        let mut wrong = |what: &str| {
            let kind = type_name(input.kind);
            let message = format_args!("the input {}: {what} ({kind})", Quoted(name)).to_string();
            report.push(site.error(codes::BAD_INPUT, message));
        };
        if !input.choices.iter().all(|choice| fits(input.kind, choice)) {
            wrong("a choice is not of its type");
        }
        if let Some(default) = &input.default {
            if !fits(input.kind, default) {
                wrong("the default is not of its type");
            } else if !input.choices.is_empty() && !input.choices.contains(default) {
                wrong("the default is not one of its choices");
            }
        }
    }
}

/// True if a value is of an input's type. A whole number is a number, `1.0` is no integer.
#[must_use]
pub fn fits(kind: InputType, value: &Json) -> bool {
    match kind {
        InputType::String => value.is_string(),
        InputType::Integer => value.is_i64() || value.is_u64(),
        InputType::Number => value.is_number(),
        InputType::Boolean => value.is_boolean(),
        InputType::List => value.is_array(),
        InputType::Object => value.is_object(),
    }
}

fn type_name(kind: InputType) -> &'static str {
    match kind {
        InputType::String => "string",
        InputType::Integer => "integer",
        InputType::Number => "number",
        InputType::Boolean => "boolean",
        InputType::List => "list",
        InputType::Object => "object",
    }
}
