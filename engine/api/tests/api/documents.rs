//! The published OpenAPI document is that of the routes.

use std::path::PathBuf;

use plue_api::{openapi, routes};
use plue_runtime::watchdog::STALL;
use serde_json::Value as Json;

use crate::support::Server;

#[test]
fn the_published_document_is_that_of_the_routes() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    let current = serde_json::to_string_pretty(&openapi::document(&routes::all())).unwrap() + "\n";
    if published != current {
        let fresh = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("openapi.json");
        std::fs::write(&fresh, current).unwrap();
        panic!("out of date: cp {} docs/openapi.json", fresh.display());
    }
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document = openapi::document(&routes::all());
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 10);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Json, found: &mut Vec<String>) {
    match value {
        Json::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if name == "$ref" => found.push(text.to_owned()),
                    _ => collect(value, found),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

#[test]
fn operation_names_are_unique_and_routes_described() {
    let document = openapi::document(&routes::all());
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.values().flat_map(|path| path.as_object().unwrap().values());
    let mut names: Vec<_> = operations.map(|one| one["operationId"].as_str().unwrap()).collect();
    assert_eq!(names.len(), routes::all().len());
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), routes::all().len());
}

#[tokio::test]
async fn the_server_serves_its_document_and_health() {
    let server = Server::start().await;
    let document = server.get("", "/api/v1/openapi.json").await.is(200).json();
    assert_eq!(document["openapi"], "3.1.1");
    assert_eq!(server.get("", "/healthz").await.is(200).json()["status"], "ok");
    assert_eq!(server.get("", "/readyz").await.is(200).json()["status"], "ok");
}

#[tokio::test]
async fn stalled_loops_fail_health_and_readiness() {
    let server = Server::start().await;
    let beat = server.watchdog.watch("drive runs");
    beat.stage("claim runs");
    tokio::time::pause();
    tokio::time::advance(STALL).await;
    tokio::time::resume();
    for path in ["/healthz", "/readyz"] {
        let problem = server.get("", path).await.is(503).json();
        assert_eq!(problem["code"], "PLUE-C0020", "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("`drive runs` in `claim runs` for 10 s"), "{detail}");
    }
    beat.idle();
    for path in ["/healthz", "/readyz"] {
        server.get("", path).await.is(200);
    }
}
