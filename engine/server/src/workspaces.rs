//! Workspaces of runs: removed when their runs are no longer kept, or ended and were for a fork; made again
//! for such a run that is retried.

use std::{path::Path, time::Duration};

use plue_executor::{Loaded, relocated};
use plue_plan::RunId;
use plue_store::RunRow;

use crate::{error::Error, server::Server};

/// A folder without a run may be that of a run that is just being made.
const NEW: Duration = Duration::from_secs(24 * 60 * 60);

impl Server {
    /// Removes the folders of runs that were deleted, and of ended runs for forks; how many.
    ///
    /// # Errors
    /// The database, or the folder of all workspaces.
    pub async fn drop_workspaces(&self) -> Result<usize, Error> {
        let folder = self.folder("workspaces")?;
        let now = self.parts().clock.now();
        let listed = {
            let folder = folder.clone();
            self.parts().tasks.spawn_blocking(move || folders(&folder, now))
        };
        let listed = listed.await.map_err(|_| Error::Stopped)?;
        let mut removed = 0;
        for (name, is_old) in listed {
            // `RUN`, or `RUN.…` while it is unpacked.
            let run = RunId::new(name.split('.').next().unwrap_or_default());
            let is_needed = match self.store().run(&run).await? {
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

    /// Removes the workspace of a fork's run that has ended: it may be as large as forks are allowed, and
    /// there is no end of forks.
    pub(crate) async fn drop_untrusted_workspace(&self, row: &RunRow) {
        let ended = || async {
            let row = self.store().run(&row.id).await.ok().flatten()?;
            row.view.status.is_terminal().then_some(())
        };
        if row.fork.is_none() || ended().await.is_none() {
            return;
        }
        let Ok(folder) = self.folder("workspaces") else { return };
        let gone = tokio::fs::remove_dir_all(folder.join(row.id.as_str())).await;
        if let Err(error) = gone
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(run = %row.id, %error, "failed to remove its workspace; retrying");
        }
    }

    /// Makes the workspace of a run again if the server has removed it.
    ///
    /// # Errors
    /// It cannot be made again.
    pub(crate) async fn restore_workspace(&self, row: &RunRow) -> Result<(), Error> {
        if row.fork.is_none() {
            return Ok(());
        }
        let folder = self.folder("workspaces")?;
        let loaded = Loaded::read(self.store(), &row.id).await?;
        let workspace = relocated(&loaded.origin.workspace, Some(&folder));
        if workspace != folder.join(row.id.as_str()) || workspace.exists() {
            return Ok(());
        }
        self.make_again(&loaded, &workspace).await
    }
}

/// The names of folders in a folder, and whether they are old.
fn folders(folder: &Path, now: jiff::Timestamp) -> Vec<(String, bool)> {
    let Ok(before) = now.saturating_sub(NEW) else { return Vec::new() };
    let seen = |entry: std::fs::DirEntry| {
        let seen = entry.metadata().ok().filter(std::fs::Metadata::is_dir)?;
        let at = jiff::Timestamp::try_from(seen.modified().ok()?);
        Some((entry.file_name().into_string().ok()?, at.is_ok_and(|at| at < before)))
    };
    std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(seen).collect()
}
