//! Writes `docs/schemas/*.json`: `cargo run -p plue-plan --example write_schemas`.
//!
//! Must not run in tests: they compare, they do not repair.

use std::{fs, path::PathBuf};

use plue_plan::schema::ALL;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    fs::create_dir_all(&folder)?;
    for published in ALL {
        let text = serde_json::to_string_pretty(&(published.schema)())? + "\n";
        fs::write(folder.join(format!("{}.json", published.name)), text)?;
    }
    Ok(())
}
