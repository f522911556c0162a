//! `plue export`: a whole run in one file.

use std::path::PathBuf;

use super::one_run;
use crate::{
    app::App,
    archive::{self, write},
    exit::Exit,
    failure::{Failure, Outcome, from_archive},
    output, wiring,
};

mod files;

/// `plue export`
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// A run id, the beginning of one, or `last`; with `--layout files` also `all`
    #[arg(value_name = "RUN")]
    pub run: String,
    /// The file to write; it must not exist. With `--layout files` a directory
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// One archive with everything, or a tree of JSON records for people and scripts
    #[arg(long, value_enum, default_value_t, value_name = "LAYOUT")]
    pub layout: Layout,
    /// Overwrite the file
    #[arg(long)]
    pub force: bool,
}

/// How a run is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Layout {
    /// One file with the run, its log, its plan and its artifacts: `plue open` reads it.
    #[default]
    Archive,
    /// `runs/WORKFLOW/TIME.json` and `last.json`, `tasks/WORKFLOW.json`, and `orchestrations/WORKFLOW/TIME.json`
    /// of runs with a goal.
    Files,
}

pub(super) fn run(args: &ExportArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        if args.layout == Layout::Files {
            return files::write(&store, args, app).await;
        }
        let run = one_run(&store, &args.run).await?;
        let failed = |error: std::io::Error| {
            Failure::infrastructure(&error).hint(format!("the file is {}", args.file.display()))
        };
        if args.file.exists() && !args.force {
            let message = format!("{} is there already", args.file.display());
            return Err(Failure::usage(message).hint("name another file, or pass --force"));
        }
        // Beside its place, so that a half-written file is never taken for a whole one.
        let draft = args.file.with_added_extension(format!("{}.part", std::process::id()));
        let file = std::fs::File::create(&draft).map_err(failed)?;
        let written = write::write(&store, &run, file).await;
        let written = written.inspect_err(|_| {
            let _gone = std::fs::remove_file(&draft);
        });
        let written = written.map_err(|error: archive::Error| from_archive(&error))?;
        std::fs::rename(&draft, &args.file).map_err(failed)?;
        if app.verbosity >= 0 {
            output::say(&format!(
                "run {run} is in {}: {} parts, {} bytes before compression",
                args.file.display(),
                written.entries,
                written.bytes
            ));
        }
        for missing in &written.missing {
            output::say(&format!("not in it, because it is not there any more: {missing}"));
        }
        Ok(Exit::Ok)
    })
}
