//! Rebuilds the workspace of a started run elsewhere: the files from which the run started, with the final
//! changes of its steps.
//!
//! Must not guess: refuses if a checkpoint may be missing or its content was not stored.

use std::{collections::BTreeMap, path::Path};

use plue_plan::RunId;
use plue_runtime::ConfinedDir;
use plue_store::{CheckpointKind, Store};
use plue_wire::outputs::Entry;

use super::{entry_at, has_content, intervals, is_same, needs_content, put_back, target::Target};
use crate::error::Error;

/// In a larger tree the runner makes no checkpoint after each step (docs/explanation/checkpoints.md), so changes of the
/// last steps may be missing.
const MAX_PATHS: usize = 5_000;

/// Applies the changes of a run's steps to the files from which the run started. `false`: the changes are
/// unknown, and the folder is unusable.
///
/// # Errors
/// [`Error::Store`]; a file cannot be written.
pub(crate) async fn rebuild(store: &Store, run: &RunId, workspace: &Path) -> Result<bool, Error> {
    let state = |source| Error::State { path: workspace.to_owned(), source };
    let rows = store.checkpoints().list(run).await?;
    if rows.iter().any(|row| row.kind == CheckpointKind::Skipped) {
        return Ok(false);
    }
    let mut left: BTreeMap<Vec<u8>, Option<Entry>> = BTreeMap::new();
    for interval in intervals(store, run).await? {
        left.extend(interval.changes.into_iter().map(|change| (change.path.0, change.after)));
    }
    if paths(workspace).map_err(state)? + left.len() > MAX_PATHS {
        return Ok(false);
    }
    let confined = ConfinedDir::open(workspace).map_err(state)?;
    let mut open = Vec::new();
    for (path, wanted) in left {
        let now = entry_at(&confined, &path).map_err(state)?;
        if is_same(now.as_ref(), wanted.as_ref()) {
            continue;
        }
        let target = Target { path, last: now.clone(), wanted };
        if needs_content(&target) && !has_content(store, &target).await? {
            return Ok(false);
        }
        open.push((target, now));
    }
    put_back((store, &confined), &open, state).await?;
    Ok(true)
}

/// Counts paths below a folder; descends no further once there are too many.
fn paths(folder: &Path) -> std::io::Result<usize> {
    let (mut count, mut folders) = (0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            count += 1;
            if entry.file_type()?.is_dir() && count <= MAX_PATHS {
                folders.push(entry.path());
            }
        }
    }
    Ok(count)
}
