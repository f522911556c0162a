//! The newest run of a folder of this machine.

use std::path::Path;

use plue_store::{Error, RunFilter, RunRow, Store};

/// Runs that are searched for the last one of a folder.
const LAST_RUNS: u32 = 50;

/// The newest run of the repository in a folder, if it is one of the last runs.
///
/// # Errors
/// [`Error`] of the database.
pub async fn in_folder(store: &Store, folder: &Path) -> Result<Option<RunRow>, Error> {
    let filter = RunFilter { without_children: true, limit: LAST_RUNS, ..RunFilter::default() };
    for row in store.runs().list(&filter).await? {
        let source = store.outputs().source_of_run(&row.id).await?;
        let of = source.and_then(|source| Some(source.origin["repository"].as_str()?.to_owned()));
        if of.is_some_and(|of| Path::new(&of) == folder) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}
