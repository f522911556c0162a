//! The part of a run that a new run of the same plan repeats, and the outputs and artifacts of the rest.
//!
//! Must not take anything from a run of a fork, and must not overwrite a file.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    io::{self, Write as _},
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use plue_flow::{
    StepStatus, StepView,
    fact::{Carried, Reason},
    input::Reopen,
};
use plue_plan::{RunId, StepId};
use plue_runtime::ConfinedDir;
use plue_store::{ArtifactRow, Store};
use plue_wire::outputs::{MAX_PART_BYTES, path_bytes};

use crate::{engine::reopened, error::Error, loaded::Loaded};

/// The selected steps of a plan, and the outputs of the steps left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Part {
    /// Steps that run; empty: all.
    pub only: Vec<StepId>,
    /// Outputs of other steps, from earlier runs.
    pub carried: Vec<Carried>,
}

// === impl Part ===

impl Part {
    /// Every step of the plan.
    #[must_use]
    pub fn whole() -> Self {
        Self::default()
    }

    /// The steps that a retry would run again.
    ///
    /// # Errors
    /// The run has not ended, has no such step, or is a fork's.
    pub fn of(loaded: &Loaded, reopen: &Reopen) -> Result<Self, Error> {
        let run = &loaded.row.id;
        let refused = |message: String| Error::Refused { run: run.clone(), message };
        if loaded.row.fork.is_some() {
            return Err(refused("a run of a fork's change is repeated whole".to_owned()));
        }
        let now = loaded.row.view.ended_at.unwrap_or(loaded.row.created_at);
        let mut only =
            reopened(&loaded.run, reopen, now).map_err(|why| refused(why.to_string()))?;
        // Hooks run in every run.
        only.retain(|step| loaded.plan.steps.iter().any(|one| one.id == *step));
        if only.is_empty() {
            return Err(refused("no step is left to repeat; rerun it whole".to_owned()));
        }
        let is_left_out = |view: &StepView| !only.contains(&view.step);
        let carried = loaded.run.step_views().filter(is_left_out);
        let carried = carried.filter_map(|view| carried_from(run, view)).collect();
        Ok(Self { only, carried })
    }
}

/// The output of a step, from the run in which it succeeded.
#[must_use]
pub fn carried_from(run: &RunId, view: StepView) -> Option<Carried> {
    let run = source_of(run, &view)?;
    Some(Carried { step: view.step, run, output: view.output })
}

/// The run in which a step succeeded: this one, or the one that its output was carried from.
#[must_use]
pub fn source_of(run: &RunId, view: &StepView) -> Option<RunId> {
    match &view.reason {
        Some(Reason::Carried { run }) => Some(run.clone()),
        _ if view.status == StepStatus::Success => Some(run.clone()),
        _ => None,
    }
}

/// Writes the artifacts of carried steps that a folder lacks; returns their number.
///
/// # Errors
/// [`Error::Store`]; a file cannot be written.
pub async fn put_back_artifacts(
    store: &Store,
    carried: &[Carried],
    folder: &Path,
) -> Result<usize, Error> {
    let mut count = 0;
    let runs: BTreeSet<&RunId> = carried.iter().map(|one| &one.run).collect();
    for run in runs {
        let of_run = carried.iter().filter(|one| one.run == *run);
        let steps: Vec<&StepId> = of_run.map(|one| &one.step).collect();
        let mut rows = newest(store.artifacts().list(run).await?);
        rows.retain(|row| {
            let is_wanted = steps.contains(&&row.step) && row.expired_at.is_none();
            is_wanted && is_absent(&folder.join(place_of(&row.path)))
        });
        for row in &rows {
            count += usize::from(write_one(store, row, folder).await?);
        }
    }
    Ok(count)
}

async fn write_one(store: &Store, row: &ArtifactRow, folder: &Path) -> Result<bool, Error> {
    let Some(mut reader) = store.blobs().reader(&row.blob).await? else { return Ok(false) };
    let mut content = Vec::new();
    while let Some(part) = reader.next(MAX_PART_BYTES).await? {
        content.extend_from_slice(&part);
    }
    let failed = |source: io::Error| Error::State { path: folder.to_owned(), source };
    let confined = ConfinedDir::open(folder).map_err(failed)?;
    let mode = if row.executable { 0o755 } else { 0o644 };
    let written = confined.write(&path_bytes(&row.path), mode, |file| file.write_all(&content));
    written.map(|_| true).map_err(failed)
}

/// Of each step, the files of its last attempt that stored some.
fn newest(rows: Vec<ArtifactRow>) -> Vec<ArtifactRow> {
    let mut last: BTreeMap<StepId, (u32, u32)> = BTreeMap::new();
    for row in &rows {
        let at = last.entry(row.step.clone()).or_default();
        *at = (*at).max((row.visit, row.number));
    }
    let is_last = |row: &ArtifactRow| last.get(&row.step) == Some(&(row.visit, row.number));
    rows.into_iter().filter(is_last).collect()
}

/// The path as the file system has it.
fn place_of(path: &str) -> PathBuf {
    PathBuf::from(OsString::from_vec(path_bytes(path).to_vec()))
}

fn is_absent(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}
