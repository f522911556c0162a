//! The file is up to date.

use std::{fs, path::PathBuf};

use serde_json::Value as Json;

use super::ALL;

#[test]
fn the_published_schema_is_that_of_the_types() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    for published in ALL {
        let file = folder.join(format!("{}.json", published.name));
        let text = fs::read_to_string(&file).unwrap_or_default();
        let current = serde_json::from_str::<Json>(&text).unwrap_or_default();
        assert!(
            current == (published.schema)(),
            "{} is out of date: cargo run -p plue-spec --example write_workflow_schema",
            file.display()
        );
        assert!(jsonschema::meta::is_valid(&current), "{}", published.name);
    }
}
