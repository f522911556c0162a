//! The published JSON Schemas (draft 2020-12), generated from the types.
//!
//! `docs/schemas/*.json` holds them; a test compares. Must not be edited there: run
//! `cargo run -p plue-plan --example write_schemas`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::{Map, Value as Json};

use crate::{
    action::{Approval, Bash, Call, Llm, Negotiate, Plugin, Python, Wait, Workflow},
    capability::Capability,
    diagnostic::Diagnostic,
    diff::PlanDiff,
    event::Event,
    id::StepId,
    plan::Plan,
    step::{Step, StepOptions},
};

/// A schema by the name that `plue schema` knows it by.
#[derive(Debug, Clone, Copy)]
pub struct Published {
    /// The name, also of the file in `docs/schemas`.
    pub name: &'static str,
    /// Generator of the schema.
    pub schema: fn() -> Json,
}

/// All schemas of this crate.
pub const ALL: [Published; 5] = [
    Published { name: "plan", schema: of::<Plan> },
    Published { name: "diagnostics", schema: of::<Vec<Diagnostic>> },
    Published { name: "event", schema: of::<Event> },
    Published { name: "diff", schema: of::<PlanDiff> },
    Published { name: "capabilities", schema: of::<Vec<Capability>> },
];

/// The schema of any type.
#[must_use]
pub fn of<T: JsonSchema>() -> Json {
    let generator = SchemaSettings::draft2020_12().into_generator();
    generator.into_root_schema_for::<T>().to_value()
}

/// A step is one object in the IR: `id`, `depends_on`, the options and the fields of its kind.
/// Derived schemas of flattened types cannot refuse unknown keys together, so the parts are merged
/// here, one closed object for each kind.
impl JsonSchema for Step {
    fn schema_name() -> Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let kinds = vec![
            kind::<Bash>("bash", generator),
            kind::<Python>("python", generator),
            kind::<Box<Llm>>("llm", generator),
            kind::<Approval>("approval", generator),
            kind::<Negotiate>("negotiate", generator),
            kind::<Workflow>("workflow", generator),
            kind::<Call>("call", generator),
            kind::<Wait>("wait", generator),
            kind::<Plugin>("plugin", generator),
        ];
        json_schema!({
            "description": "A node of the DAG; `kind` says which of these it is.",
            "oneOf": kinds,
        })
    }
}

fn kind<T: JsonSchema>(kind: &str, generator: &mut SchemaGenerator) -> Json {
    let action = T::json_schema(generator);
    let options = StepOptions::json_schema(generator);
    let id = generator.subschema_for::<StepId>();
    let dependencies = generator.subschema_for::<Vec<StepId>>();
    let mut properties = Map::new();
    properties.insert("id".to_owned(), id.to_value());
    properties.insert("kind".to_owned(), json_schema!({ "const": kind }).to_value());
    properties.insert("depends_on".to_owned(), dependencies.to_value());
    for part in [&action, &options] {
        if let Some(Json::Object(fields)) = part.get("properties") {
            properties.extend(fields.clone());
        }
    }
    let mut required = vec![Json::from("id"), Json::from("kind")];
    if let Some(Json::Array(names)) = action.get("required") {
        required.extend(names.iter().cloned());
    }
    let mut closed = json_schema!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    if let Some(description) = action.get("description") {
        closed.insert("description".to_owned(), description.clone());
    }
    closed.to_value()
}

#[cfg(test)]
mod tests;
