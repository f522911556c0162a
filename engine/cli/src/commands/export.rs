//! `plue export`: a whole run in one file.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use plue_archive::export::write;

use super::one_run;
use crate::{
    app::App,
    exit::Exit,
    failure::{Failure, Outcome, from_archive},
    output,
    terminal::sanitize,
    wiring,
};

pub(crate) mod files;

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

/// The file while it is written: beside its place, so that a half-written one is never taken for a whole
/// one. It goes when it is dropped before it is kept.
pub(crate) struct Draft {
    draft: PathBuf,
    file: PathBuf,
    kept: bool,
}

pub(super) fn run(args: &ExportArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        if args.layout == Layout::Files {
            return files::of_store(&store, args, app).await;
        }
        let run = one_run(&store, &args.run).await?;
        let (draft, file) = Draft::begin(args)?;
        let written = write::write(&store, &run, file).await;
        let written = written.map_err(|error: plue_archive::export::Error| from_archive(&error))?;
        draft.keep()?;
        tell(run.as_str(), args, &written, app);
        Ok(Exit::Ok)
    })
}

/// Says what is in the file.
pub(crate) fn tell(run: &str, args: &ExportArgs, written: &write::Written, app: &App) {
    if app.verbosity >= 0 {
        output::say(&format!(
            "run {run} is in {}: {} parts, {} bytes before compression",
            args.file.display(),
            written.entries,
            written.bytes
        ));
    }
    for missing in &written.missing {
        let missing = sanitize(missing, false);
        output::say(&format!("not in it, because it is not there any more: {missing}"));
    }
}

// === impl Draft ===

impl Draft {
    /// Begins a file that is not there yet, or may be overwritten.
    pub(crate) fn begin(args: &ExportArgs) -> Result<(Self, File), Failure> {
        if args.file.exists() && !args.force {
            let message = format!("{} is there already", args.file.display());
            return Err(Failure::usage(message).hint("name another file, or pass --force"));
        }
        let draft = args.file.with_added_extension(format!("{}.part", std::process::id()));
        let draft = Self { draft, file: args.file.clone(), kept: false };
        let file = File::create(&draft.draft).map_err(|error| draft.failed(&error))?;
        Ok((draft, file))
    }

    /// Where it is for now.
    pub(crate) fn path(&self) -> &Path {
        &self.draft
    }

    /// It could not be written.
    pub(crate) fn failed(&self, error: &io::Error) -> Failure {
        Failure::infrastructure(error).hint(format!("the file is {}", self.file.display()))
    }

    /// Gives it its name.
    pub(crate) fn keep(mut self) -> Result<(), Failure> {
        std::fs::rename(&self.draft, &self.file).map_err(|error| self.failed(&error))?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let _gone = std::fs::remove_file(&self.draft);
        }
    }
}
