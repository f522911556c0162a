//! Writes the schemas of this crate into `docs/schemas`.

use std::{fs, path::PathBuf};

fn main() -> std::io::Result<()> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
    for published in plue_spec::workflow::schema::ALL {
        let mut text = serde_json::to_string_pretty(&(published.schema)())?;
        text.push('\n');
        fs::write(folder.join(format!("{}.json", published.name)), text)?;
    }
    Ok(())
}
