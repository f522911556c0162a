//! Writes what the workflow files of the tests become: `cargo run -p plue-spec --example
//! bless_workflows`. Read the difference before you commit it.

use std::{fs, path::PathBuf};

#[path = "../tests/workflow/rendered.rs"]
mod rendered;

fn main() -> std::io::Result<()> {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/workflow");
    for folder in ["valid", "invalid", "shared/valid", "shared/invalid"] {
        for entry in fs::read_dir(tests.join(folder))? {
            let path = entry?.path();
            if path.extension().is_some_and(|end| end == "expected") {
                continue;
            }
            let mut expected = path.clone().into_os_string();
            expected.push(".expected");
            fs::write(expected, rendered::rendered(&path)?)?;
        }
    }
    Ok(())
}
