//! Workspaces whose runs are no longer kept.

use std::{path::Path, time::Duration};

use plue_plan::RunId;

use crate::{error::Error, server::Server};

/// A folder without a run may be that of a run that is just being made.
const NEW: Duration = Duration::from_secs(24 * 60 * 60);

impl Server {
    /// Removes the folders of runs that were deleted; how many.
    ///
    /// # Errors
    /// The database, or the folder of all workspaces.
    pub async fn drop_workspaces(&self) -> Result<usize, Error> {
        let folder = self.folder("workspaces")?;
        let now = self.parts().clock.now();
        let listed = {
            let folder = folder.clone();
            self.parts().tasks.spawn_blocking(move || old_folders(&folder, now))
        };
        let listed = listed.await.map_err(|_| Error::Stopped)?;
        let mut removed = 0;
        for name in listed {
            // `RUN`, or `RUN.…` while it is unpacked.
            let run = RunId::new(name.split('.').next().unwrap_or_default());
            if self.store().run(&run).await?.is_some() {
                continue;
            }
            let gone = tokio::fs::remove_dir_all(folder.join(&name)).await;
            removed += usize::from(gone.is_ok());
        }
        Ok(removed)
    }
}

fn old_folders(folder: &Path, now: jiff::Timestamp) -> Vec<String> {
    let Ok(before) = now.saturating_sub(NEW) else { return Vec::new() };
    let is_old = |entry: &std::fs::DirEntry| {
        let seen = entry.metadata().and_then(|seen| Ok((seen.is_dir(), seen.modified()?)));
        seen.is_ok_and(|(is_folder, at)| {
            is_folder && jiff::Timestamp::try_from(at).is_ok_and(|at| at < before)
        })
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().filter(is_old);
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
