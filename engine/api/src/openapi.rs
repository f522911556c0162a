//! The OpenAPI 3.1 document, made from the list of routes and the schemas of their documents
//! (spec.openapis.org/oas/v3.1.1: its schemas are JSON Schema 2020-12, which schemars writes).
//!
//! Must not describe what is not in the list.

use plue_store::webhook::{EVENTS, PING};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value as Json, json};

use crate::{
    access::Need,
    endpoint::{Answer, Endpoint, Parameter},
    problem::Problem,
    records::webhook::WebhookMessage,
};

/// The OpenAPI 3.1 document of all routes.
#[must_use]
pub fn document(endpoints: &[Endpoint]) -> Json {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Problem>().to_value();
    let mut paths = Map::new();
    for endpoint in endpoints {
        let operation = operation(endpoint, &mut generator, &problem);
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(endpoint.method.as_str().to_owned(), operation);
        }
    }
    let webhooks = webhooks(&mut generator);
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "plue",
            "version": "1",
            "description": "Runs of workflows: what there is, what becomes of it, what to do about it. \
                            Fields are only ever added.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "webhooks": webhooks,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
}

/// Messages that a server posts to the URLs of its webhooks.
fn webhooks(generator: &mut SchemaGenerator) -> Json {
    let schema = generator.subschema_for::<WebhookMessage>().to_value();
    let events = EVENTS.iter().chain([&PING]).map(|event| {
        let header = |name: &str, means: &str| {
            json!({"name": name, "in": "header", "required": true, "description": means,
                   "schema": {"type": "string"}})
        };
        let post = json!({
            "operationId": format!("webhook_{}", event.replace('.', "_")),
            "summary": format!("`{event}`, as Standard Webhooks has it"),
            "parameters": [
                header("webhook-id", "of the message, the same however often it is sent"),
                header("webhook-timestamp", "of this try, in seconds since 1970"),
                header("webhook-signature", "`v1,` and base64 of the HMAC-SHA256 of \
                    `id.timestamp.body`; two of them, with a space, while a secret is rotated"),
            ],
            "requestBody": {"required": true, "content": {"application/json": {"schema": schema}}},
            "responses": {
                "2XX": {"description": "It was taken"},
                "410": {"description": "Never send anything again"},
            },
            "security": [],
        });
        ((*event).to_owned(), json!({"post": post}))
    });
    Json::Object(events.collect())
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator, problem: &Json) -> Json {
    let path = endpoint.path_parameters().map(
        |name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}),
    );
    let query = endpoint.query.iter().map(|Parameter { name, kind, means }| {
        json!({"name": name, "in": "query", "description": means, "schema": {"type": kind}})
    });
    let parameters: Vec<Json> = path.chain(query).collect();
    let (status, content) = content(endpoint, generator);
    let mut success = json!({"description": "All is well"});
    if let Some(content) = content {
        success["content"] = content;
    }
    let mut operation = json!({
        "operationId": operation_id(endpoint),
        "summary": endpoint.summary,
        "responses": {
            status: success,
            "default": {
                "description": "A problem (RFC 9457)",
                "content": {"application/problem+json": {"schema": problem}},
            },
        },
    });
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some(body) = endpoint.body {
        let schema = body(generator).to_value();
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
    }
    match endpoint.need {
        Need::Nothing => operation["security"] = json!([]),
        Need::Role(role) | Need::Everywhere(role) => {
            operation["security"] = json!([{"token": []}]);
            operation["x-plue-role"] = json!(role.as_str());
        }
    }
    operation
}

fn content(endpoint: &Endpoint, generator: &mut SchemaGenerator) -> (&'static str, Option<Json>) {
    let of = |kind: &str, schema: Json| {
        let mut content = Map::new();
        content.insert(kind.to_owned(), json!({"schema": schema}));
        Some(Json::Object(content))
    };
    match endpoint.answer {
        Answer::Json(schema) => ("200", of("application/json", schema(generator).to_value())),
        Answer::Created(schema) => ("201", of("application/json", schema(generator).to_value())),
        Answer::Events(schema) => ("200", of("text/event-stream", schema(generator).to_value())),
        Answer::Bytes(kind) => ("200", of(kind, json!({}))),
        Answer::Nothing => ("204", None),
    }
}

/// `get_runs_run_steps`: method and path.
fn operation_id(endpoint: &Endpoint) -> String {
    let path = endpoint.path.trim_start_matches("/api/v1");
    let parts = path.split(['/', '.']).filter(|part| !part.is_empty());
    let parts = parts.map(|part| part.trim_matches(['{', '}']));
    std::iter::once(endpoint.method.as_str()).chain(parts).collect::<Vec<_>>().join("_")
}
