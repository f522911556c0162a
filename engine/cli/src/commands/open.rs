//! `plue open`: a run from a file becomes one that can be looked at.

use std::path::PathBuf;

use plue_archive::export::read;
use serde::Serialize;

use crate::{
    app::App,
    args::Format,
    exit::Exit,
    failure::{Failure, Outcome, codes, from_archive},
    output, wiring,
};

/// `plue open`
#[derive(Debug, clap::Args)]
pub struct OpenArgs {
    /// A file that `plue export` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Check the file and print its contents, but store nothing
    #[arg(long)]
    pub check: bool,
    /// Output format of the summary
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Printed summary of an opened file.
#[derive(Debug, Serialize)]
struct Opened {
    schema_version: u32,
    run: String,
    imported: bool,
    entries: usize,
    bytes: u64,
    sources: Vec<String>,
    missing: Vec<String>,
    seal: String,
}

pub(super) fn run(args: &OpenArgs, app: &App) -> Outcome {
    // An unreadable file is reported by its name, before its content is checked.
    if let Err(error) = std::fs::File::open(&args.file) {
        let message = format!("cannot read {}: {error}", args.file.display());
        let diagnostic = plue_plan::Diagnostic::error(codes::UNREADABLE, message);
        return Err(Failure::new(Exit::NotFound, diagnostic));
    }
    wiring::block_on(async {
        let checked = read::check(&args.file).map_err(|error| from_archive(&error))?;
        if !args.check {
            let store = wiring::open_store(app).await?;
            let imported = read::import(&store, &args.file, &checked).await;
            imported.map_err(|error| from_archive(&error))?;
        }
        let manifest = &checked.manifest;
        let opened = Opened {
            schema_version: 1,
            run: checked.run.to_string(),
            imported: !args.check,
            entries: manifest.entries.len(),
            bytes: manifest.entries.values().map(|(_, size)| size).sum(),
            sources: manifest.sources.keys().cloned().collect(),
            missing: manifest.missing.clone(),
            seal: checked.seal.clone(),
        };
        match args.output {
            Format::Json => output::pretty(&opened)?,
            Format::Jsonl => output::json(&opened)?,
            Format::Table => {
                output::line(&opened.run)?;
                let run = &opened.run;
                if args.check {
                    output::report(&format!("the file is whole: {} parts", opened.entries));
                } else if app.loaded.config.server.is_some() {
                    output::report(&format!(
                        "it was opened on this machine, not on the server; look at it with: \
                         PLUE_SERVER= plue status {run}"
                    ));
                } else {
                    output::report(&format!("look at it with: plue status {run}, plue logs {run}"));
                }
            }
        }
        Ok(Exit::Ok)
    })
}
