//! The JSON Schema of workflow files in YAML and JSON, made from the types of the plan.
//!
//! Editors use it to complete and check; the reader of this module stays the judge. Spellings that
//! files allow and plans do not (numbers as durations, other names, short triggers) are added here.

use plue_plan::{
    Trigger,
    action::{Approval, Bash, Call, Llm, Negotiate, Python, Wait, Workflow},
    plan::{Hooks, Input, Plan},
    schema::Published,
    step::StepOptions,
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value as Json, json};

use super::{kinds::USES, plan::UNLIMITED, trigger::KINDS};

/// The schemas of this crate, for `plue schema`.
pub const ALL: [Published; 1] = [Published { name: "workflow", schema: workflow }];

/// Meaning of the task's own description.
const DESCRIPTION: &str =
    "For those who read the file; what is asked of an agent that has no `parameters.task`";

fn metadata() -> Json {
    json!({
        "description": "Who wrote the file, and free labels.",
        "type": "object",
        "properties": {
            "author": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "additionalProperties": false,
    })
}

/// The schema of a workflow file.
fn workflow() -> Json {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut properties = plan_properties(&mut generator);
    for ours in ["version", "steps", "timeout", "max_parallel", "on_failure", "hooks", "triggers"] {
        properties.remove(ours);
    }
    let settings = settings(&mut generator);
    let input = generator.subschema_for::<Input>().to_value();
    let own = json!({
        "inputs": {
            "description": "What a run is given; nothing behind the name means a text that may be left out.",
            "type": "object",
            "additionalProperties": {"anyOf": [input, {"type": "null"}]},
        },
        "version": {
            "description": "The version of this format: \"1.0\".",
            "enum": ["1.0", 1, "1"],
        },
        "metadata": metadata(),
        "settings": settings,
        "context": context(),
        "secrets": {
            "description": "As `context.secrets`.",
            "type": "object",
            "additionalProperties": {"$ref": "#/$defs/Secret"},
        },
        "triggers": {
            "description": "What makes the workflow run.",
            "type": "array",
            "items": {"$ref": "#/$defs/Trigger"},
        },
        "hooks": hooks(&mut generator),
        "tasks": {
            "description": "What is to be done; tasks that do not depend on each other run at the same time.",
            "type": "array", "items": {"$ref": "#/$defs/Task"}, "minItems": 1, "maxItems": 5000,
        },
        "concurrency": {
            "description": "Group in which runs do not overlap.",
            "anyOf": [
                {"type": "string"},
                generator.subschema_for::<plue_plan::policy::Concurrency>().to_value(),
            ],
        },
    });
    extend(&mut properties, own);
    let (task, trigger) = (task(&mut generator), trigger(&mut generator));
    let mut definitions = generator.take_definitions(true);
    definitions.insert("Task".to_owned(), task);
    definitions.insert("Trigger".to_owned(), trigger);
    definitions.insert("Secret".to_owned(), secret());
    adapt(&mut definitions);
    // Parts of a whole plan that no file has.
    definitions
        .retain(|name, _| !matches!(name.as_str(), "ContextKey" | "Hooks" | "Merge" | "Step"));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "plue workflow",
        "description": "A workflow in YAML or JSON: one plan.",
        "type": "object",
        "properties": properties,
        "required": ["name", "tasks"],
        "patternProperties": {"^x-": {"description": "Anything, for anchors; not part of the plan."}},
        "additionalProperties": false,
        "$defs": definitions,
    })
}

fn properties_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Map<String, Json> {
    let schema = T::json_schema(generator).to_value();
    schema.get("properties").and_then(Json::as_object).cloned().unwrap_or_default()
}

fn plan_properties(generator: &mut SchemaGenerator) -> Map<String, Json> {
    properties_of::<Plan>(generator)
}

fn extend(properties: &mut Map<String, Json>, more: Json) {
    if let Json::Object(more) = more {
        properties.extend(more);
    }
}

fn settings(generator: &mut SchemaGenerator) -> Json {
    let mut plan = plan_properties(generator);
    let mut take = |name: &str| plan.remove(name).unwrap_or(Json::Bool(true));
    let (timeout, on_failure) = (take("timeout"), take("on_failure"));
    json!({
        "description": "How the workflow runs as a whole.",
        "type": "object",
        "properties": {
            "max_parallel": {
                "description": "Tasks at the same time at most. Default: 3.",
                "anyOf": [{"type": "integer", "minimum": 1}, {"const": UNLIMITED}],
            },
            "timeout": timeout,
            "on_failure": on_failure,
        },
        "additionalProperties": false,
    })
}

fn secret() -> Json {
    json!({
        "description": "The name of a secret, or where runs of your own machine take it from; never a value.",
        "anyOf": [
            {"type": "null"},
            {"type": "string", "pattern": "^([A-Z_][A-Z0-9_]*|env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$"},
        ],
    })
}

fn context() -> Json {
    json!({
        "description": "Constants of the file, keys that tasks write, and names of secrets.",
        "type": "object",
        "properties": {
            "variables": {
                "description": "Constants: `${context.variables.name}` or `${name}`.",
                "type": "object",
            },
            "keys": {
                "description": "Values that tasks write with `writes` and later ones read as `${context.KEY}`: for each the JSON Schema of what one task writes, and `merge`.",
                "type": "object",
                "additionalProperties": {
                    "type": ["object", "null"],
                    "properties": {
                        "merge": {
                            "description": "What several writers make: a list, a map by task, or the value of the last one. Default: error, no two writers at the same time.",
                            "enum": ["list", "map", "last", "error"],
                        },
                        "type": {"description": "As in every JSON Schema."},
                    },
                },
            },
            "secrets": {
                "description": "What secrets are called here, and their names; never values.",
                "type": "object",
                "additionalProperties": {"$ref": "#/$defs/Secret"},
            },
        },
        "additionalProperties": false,
    })
}

fn hooks(generator: &mut SchemaGenerator) -> Json {
    let mut lists = properties_of::<Hooks>(generator);
    for (_, list) in &mut lists {
        let description = list.get("description").cloned().unwrap_or_default();
        *list = json!({
            "description": description,
            "type": "array",
            "items": {"$ref": "#/$defs/Task"},
        });
    }
    json!({
        "description": "Tasks around the run.",
        "type": "object",
        "properties": lists,
        "additionalProperties": false,
    })
}

/// A task: the fields of all kinds together, and one of those that select the kind.
fn task(generator: &mut SchemaGenerator) -> Json {
    let mut properties = Map::new();
    for kind in [
        properties_of::<Call>(generator),
        properties_of::<Wait>(generator),
        properties_of::<Negotiate>(generator),
        properties_of::<Workflow>(generator),
        properties_of::<Approval>(generator),
        properties_of::<Llm>(generator),
        properties_of::<Python>(generator),
        properties_of::<Bash>(generator),
        properties_of::<StepOptions>(generator),
    ] {
        properties.extend(kind);
    }
    properties.remove("code");
    let ids = json!({
        "description": "Ids of the tasks that must have ended first.",
        "type": "array", "items": {"$ref": "#/$defs/StepId"}, "uniqueItems": true, "maxItems": 256,
    });
    let condition = json!({
        "description": "An expression; if it is false the task is skipped.",
        "type": ["string", "boolean", "null"],
    });
    extend(
        &mut properties,
        json!({
            "id": {"$ref": "#/$defs/StepId"},
            "description": {"description": DESCRIPTION, "type": ["string", "null"]},
            "agent": {"description": "The role of a model, or `shell` for `parameters.run`.", "type": "string"},
            "parameters": {
                "description": "Inputs of the agent's prompt; `task` is the request.",
                "type": "object",
            },
            "python": {"description": "The text of a Python program.", "type": "string"},
            "uses": {
                "description": "Another kind of step, or that of a plugin.",
                "anyOf": [{"enum": USES}, {"type": "string", "minLength": 1}],
            },
            "with": {"description": "Arguments of the plugin.", "type": "object"},
            "event": {"$ref": "#/$defs/Trigger"},
            "dependencies": ids, "depends_on": ids,
            "condition": condition, "when": condition,
            "secrets": {
                "description": "Names of secrets for the environment, or a mapping as at the top.",
                "anyOf": [
                    {"type": "array", "items": {"type": "string"}},
                    {"type": "object", "additionalProperties": {"$ref": "#/$defs/Secret"}},
                ],
            },
        }),
    );
    generator.subschema_for::<plue_plan::StepId>();
    let one = |name: &str| json!({"required": [name]});
    let lone_prompt = json!({"required": ["prompt"], "not": {"required": ["agent"]}});
    json!({
        "description": "A node of the graph.",
        "type": "object",
        "properties": properties,
        "required": ["id"],
        "oneOf": [one("agent"), one("run"), one("python"), one("script"), lone_prompt, one("uses")],
        "additionalProperties": false,
    })
}

/// `push`, `push: {…}` or `{on: push, …}`.
fn trigger(generator: &mut SchemaGenerator) -> Json {
    let schema = Trigger::json_schema(generator).to_value();
    let mut forms = Vec::new();
    let mut words = Vec::new();
    let variants = schema.get("oneOf").and_then(Json::as_array).cloned().unwrap_or_default();
    for mut variant in variants {
        let on = variant["properties"]["on"]["const"].as_str().unwrap_or_default().to_owned();
        let short = KINDS.iter().find(|(kind, _)| *kind == on).and_then(|(_, field)| *field);
        let properties = &mut variant["properties"];
        for (one, many) in [("branch", "branches"), ("tag", "tags")] {
            if properties.get(many).is_some() {
                properties[one] = json!({"type": "string"});
            }
        }
        if on == "event" {
            properties["when"] = json!({"type": ["string", "boolean", "null"]});
            properties["condition"] = properties["when"].clone();
        }
        properties["on"] = json!({"enum": [on.clone(), format!("on_{on}")]});
        let required = variant["required"].as_array().cloned().unwrap_or_default();
        let needs_more = required.len() > 1;
        forms.push(variant.clone());
        if let Some(properties) = variant["properties"].as_object_mut() {
            properties.remove("on");
        }
        let kept: Vec<Json> = required.into_iter().filter(|name| name != "on").collect();
        variant["required"] = Json::Array(kept);
        let mut bodies = vec![variant];
        if short.is_some() {
            bodies.push(json!({"type": "string"}));
        }
        if !needs_more {
            bodies.push(json!({"type": "null"}));
            words.extend([on.clone(), format!("on_{on}")]);
        }
        let body = json!({"anyOf": bodies});
        forms.push(json!({
            "type": "object",
            "properties": {on.clone(): body, format!("on_{on}"): body},
            "minProperties": 1, "maxProperties": 1, "additionalProperties": false,
        }));
    }
    forms.insert(0, json!({"enum": words}));
    json!({"description": "What makes a workflow run.", "anyOf": forms})
}

/// Adds the spellings that only files allow.
fn adapt(definitions: &mut Map<String, Json>) {
    if let Some(duration) = definitions.get_mut("DurationText") {
        let text = duration.clone();
        *duration = json!({
            "description": "Seconds as a whole number, or a text like 90s, 1h30m or 500ms.",
            "anyOf": [{"type": "integer", "minimum": 0}, text],
        });
    }
    if definitions.contains_key("Goto") {
        let description =
            "What its failure means; `retry` means the same as `fail` with a `retry`.";
        let value = json!({
            "description": description,
            "anyOf": [{"enum": ["fail", "retry", "skip", "continue"]}, {"$ref": "#/$defs/Goto"}],
        });
        definitions.insert("OnFailure".to_owned(), value);
    }
}

#[cfg(test)]
mod tests;
