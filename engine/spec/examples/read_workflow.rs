//! Reads workflow files as `plue plan` does, without anything else of plue: prints each plan's hash
//! and canonical JSON, or what is wrong with the file.
//!
//! `cargo run -p plue-spec --example read_workflow -- FILE…`

use plue_plan::canonical::HashedPlan;
use plue_spec::workflow::{Format, read};

fn main() -> std::io::Result<()> {
    for file in std::env::args().skip(1) {
        let bytes = std::fs::read(&file)?;
        let format = if file.ends_with(".json") { Format::Json } else { Format::Yaml };
        match read(&file, &bytes, format) {
            Ok(workflow) => {
                workflow.warnings.iter().for_each(|warning| println!("{warning}"));
                match HashedPlan::new(workflow.plan) {
                    Ok(sealed) => {
                        println!("{file}: {}", sealed.hash);
                        println!("{}", String::from_utf8_lossy(&sealed.bytes));
                    }
                    Err(problem) => println!("{problem}"),
                }
            }
            Err(problems) => problems.iter().for_each(|problem| println!("{problem}")),
        }
    }
    Ok(())
}
