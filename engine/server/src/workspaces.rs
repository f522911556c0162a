//! Workspaces of runs. A workspace is removed when its run is deleted, or when a run of a fork ends; a
//! retry restores it.

use std::{path::Path, sync::Arc, time::Duration};

use plue_executor::{Engine, Loaded, reach::Guard, relocated};
use plue_plan::RunId;
use plue_store::{RunRow, Store};

use crate::{
    commit_cache::CommitCache, error::Error, mirrors::Mirrors, process::Process,
    state_dir::StateDir,
};

/// Age below which a folder without a run is kept: its run may be about to be stored.
const NEW: Duration = Duration::from_secs(24 * 60 * 60);

/// The workspaces of runs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Workspaces {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) mirrors: Mirrors,
    pub(crate) commits: Arc<CommitCache>,
    pub(crate) state: StateDir,
    /// Whether archives are stored as blobs for engines of other machines.
    pub(crate) share_files: bool,
    /// Network exceptions of the operator, for trusted commits.
    pub(crate) reach: Guard,
    pub(crate) process: Process,
}

// === impl Workspaces ===

impl Workspaces {
    /// Removes the folders of deleted runs and of ended runs of forks; returns their number.
    ///
    /// # Errors
    /// The database, or the parent folder of workspaces.
    pub(crate) async fn remove_unused(&self) -> Result<usize, Error> {
        let folder = self.state.folder("workspaces")?;
        let now = self.process.clock.now();
        let listed = {
            let folder = folder.clone();
            self.process.tasks.spawn_blocking(move || folders(&folder, now))
        };
        let listed = listed.await.map_err(|_| Error::Stopped)?;
        let mut removed = 0;
        for (name, is_old) in listed {
            // Named `RUN`, or `RUN.…` while it is unpacked.
            let run = RunId::new(name.split('.').next().unwrap_or_default());
            let is_needed = match self.store.runs().get(&run).await? {
                Some(row) => row.fork.is_none() || !row.view.status.is_terminal(),
                None => !is_old,
            };
            if is_needed {
                continue;
            }
            let gone = tokio::fs::remove_dir_all(folder.join(&name)).await;
            removed += usize::from(gone.is_ok());
        }
        Ok(removed)
    }

    /// Removes the workspace of an ended run of a fork at once, since outsiders decide the number of such
    /// runs.
    pub(crate) async fn remove_untrusted(&self, row: &RunRow) {
        let ended = || async {
            let row = self.store.runs().get(&row.id).await.ok().flatten()?;
            row.view.status.is_terminal().then_some(())
        };
        if row.fork.is_none() || ended().await.is_none() {
            return;
        }
        let Ok(folder) = self.state.folder("workspaces") else { return };
        let gone = tokio::fs::remove_dir_all(folder.join(row.id.as_str())).await;
        if let Err(error) = gone
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(run = %row.id, %error, "failed to remove the workspace of a run; retrying");
        }
    }

    /// Restores the workspace of a run of a fork if the server has removed it.
    ///
    /// # Errors
    /// The workspace cannot be restored.
    pub(crate) async fn restore_untrusted(&self, row: &RunRow) -> Result<(), Error> {
        if row.fork.is_none() {
            return Ok(());
        }
        let folder = self.state.folder("workspaces")?;
        let loaded = Loaded::read(&self.store, &row.id).await?;
        let workspace = relocated(&loaded.origin.workspace, Some(&folder));
        if workspace != folder.join(row.id.as_str()) || workspace.exists() {
            return Ok(());
        }
        self.restore(&loaded, &workspace).await
    }
}

/// The names of the folders in `folder`, and whether each is older than [`NEW`].
fn folders(folder: &Path, now: jiff::Timestamp) -> Vec<(String, bool)> {
    let Ok(before) = now.saturating_sub(NEW) else { return Vec::new() };
    let seen = |entry: std::fs::DirEntry| {
        let seen = entry.metadata().ok().filter(std::fs::Metadata::is_dir)?;
        let at = jiff::Timestamp::try_from(seen.modified().ok()?);
        Some((entry.file_name().into_string().ok()?, at.is_ok_and(|at| at < before)))
    };
    std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(seen).collect()
}
