//! The workspace of a run that has begun, made again elsewhere: the files that it began with, and on
//! top what its steps left of each path that they changed.
//!
//! Must not guess: where a checkpoint may be missing or its content was not kept, it says no.

use std::{collections::BTreeMap, path::Path};

use plue_plan::RunId;
use plue_runtime::Beneath;
use plue_store::{CheckpointKind, Store};
use plue_wire::keep::Entry;

use super::{entry_at, has_content, intervals, is_same, needs_content, put_back, target::Target};
use crate::error::Error;

/// In a larger tree the runner does not look after each step (docs/checkpoints.md), so what the last
/// steps changed may be in no checkpoint.
const MAX_PATHS: usize = 5_000;

/// Puts what the steps of a run changed on top of the files that it began with. `false`: that cannot be
/// known, and the folder is of no use.
///
/// # Errors
/// [`Error::Store`]; a file cannot be written.
pub(crate) async fn rebuild(store: &Store, run: &RunId, workspace: &Path) -> Result<bool, Error> {
    let state = |source| Error::State { path: workspace.to_owned(), source };
    let rows = store.checkpoints(run).await?;
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
    let beneath = Beneath::open(workspace).map_err(state)?;
    let mut open = Vec::new();
    for (path, wanted) in left {
        let now = entry_at(&beneath, &path).map_err(state)?;
        if is_same(now.as_ref(), wanted.as_ref()) {
            continue;
        }
        let target = Target { path, last: now.clone(), wanted };
        if needs_content(&target) && !has_content(store, &target).await? {
            return Ok(false);
        }
        open.push((target, now));
    }
    put_back((store, &beneath), &open, state).await?;
    Ok(true)
}

/// Paths below a folder, until it is clear that they are too many.
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
