//! `plue export`: a whole run in one file.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use plue_archive::export::{MAX_TOTAL_BYTES, read, write::Written};

use crate::{
    app::App,
    connect::{Connection, Purpose, connected},
    exit::Exit,
    failure::{Failure, Outcome, from_archive},
    output,
    terminal::sanitize,
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
    /// Overwrite an existing file
    #[arg(long)]
    pub force: bool,
}

/// File layout of an exported run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Layout {
    /// One file with the run, its log, its plan and its artifacts: `plue open` reads it.
    #[default]
    Archive,
    /// `runs/WORKFLOW/TIME.json` and `last.json`, `tasks/WORKFLOW.json`, and `orchestrations/WORKFLOW/TIME.json`
    /// of runs with a goal.
    Files,
}

/// The file while it is written, under another name in the same folder: a partial file is never taken for a
/// whole one. Removed on drop unless it was kept.
struct Draft {
    draft: PathBuf,
    file: PathBuf,
    kept: bool,
}

pub(super) fn run(args: &ExportArgs, app: &App) -> Outcome {
    connected(app, Purpose::Read, async |connection| match args.layout {
        Layout::Files => files::write(connection, args, app).await,
        Layout::Archive => archive(connection, args, app).await,
    })
}

async fn archive(connection: &Connection, args: &ExportArgs, app: &App) -> Outcome {
    let run = connection.run(&args.run).await?.id;
    let (draft, mut file) = Draft::begin(args)?;
    let mut bytes = 0;
    let mut write = |part: &[u8]| {
        bytes += part.len() as u64;
        if bytes > MAX_TOTAL_BYTES {
            return Err(Failure::usage("the file of the run is too long"));
        }
        file.write_all(part).map_err(|error| draft.failed(&error))
    };
    connection.client.runs().archive(&run, &mut write).await?;
    file.sync_all().map_err(|error| draft.failed(&error))?;
    drop(file);
    // A server's file is checked like one of anybody else.
    let checked = read::check(draft.path()).map_err(|error| from_archive(&error))?;
    if checked.run.as_str() != run {
        return Err(Failure::usage(format!("the server sent run {}", checked.run)));
    }
    draft.keep()?;
    let manifest = checked.manifest;
    let written = Written {
        entries: manifest.entries.len(),
        bytes: manifest.entries.values().map(|(_, size)| size).sum(),
        missing: manifest.missing,
    };
    report(&run, args, &written, app);
    Ok(Exit::Ok)
}

/// Prints the size of the file, and the parts that it lacks.
fn report(run: &str, args: &ExportArgs, written: &Written, app: &App) {
    if app.verbosity >= 0 {
        output::report(&format!(
            "run {run} is in {}: {} parts, {} bytes before compression",
            args.file.display(),
            written.entries,
            written.bytes
        ));
    }
    for missing in &written.missing {
        let missing = sanitize(missing, false);
        output::report(&format!("not in it, because it is not there any more: {missing}"));
    }
}

// === impl Draft ===

impl Draft {
    /// Begins a file that is not there yet, or may be overwritten.
    fn begin(args: &ExportArgs) -> Result<(Self, File), Failure> {
        if args.file.exists() && !args.force {
            let message = format!("{} is there already", args.file.display());
            return Err(Failure::usage(message).hint("name another file, or pass --force"));
        }
        let draft = args.file.with_added_extension(format!("{}.part", std::process::id()));
        let draft = Self { draft, file: args.file.clone(), kept: false };
        let file = File::create(&draft.draft).map_err(|error| draft.failed(&error))?;
        Ok((draft, file))
    }

    /// Path until it is complete.
    fn path(&self) -> &Path {
        &self.draft
    }

    /// A failed write, with the file.
    fn failed(&self, error: &io::Error) -> Failure {
        Failure::infrastructure(error).hint(format!("the file is {}", self.file.display()))
    }

    /// Renames it to its final name.
    fn keep(mut self) -> Result<(), Failure> {
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
