//! Movable runners: a runner of a server goes from the workspace of one run to that of the next, within
//! one scope.
//!
//! Must not hand a runner to another scope, nor one that may have something of its last run.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use plue_plan::RunnerId;
use plue_runtime::{Clock, clock::Mark};
use plue_wire::runner::RunnerWorkspace;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use crate::{
    error::Error,
    lease::{Command, Lease},
    local::{LocalPool, WorkDir},
    sandbox::{Places, Sandbox, SandboxDirs},
};

/// Time limit of a runner to leave a run.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// A runner of this age takes no further run: its sandbox shows the machine as it was at its start.
const MAX_AGE: Duration = Duration::from_secs(3_600);

/// The way of a runner to other workspaces.
#[derive(Debug)]
pub(crate) struct Moves {
    /// The only runs that it serves: those of one repository, of own commits.
    pub(crate) scope: String,
    /// Its sandbox, if it has one.
    pub(crate) sandbox: Option<(Sandbox, SandboxDirs)>,
    /// The state directory, which has the indexes of workspaces.
    pub(crate) state: PathBuf,
    /// The start of the runner.
    pub(crate) since: Mark,
}

// === impl Moves ===

impl Moves {
    /// A workspace as the runner sees it.
    pub(crate) fn place(&self, workspace: &Path) -> RunnerWorkspace {
        let (seen, index) = match &self.sandbox {
            Some((_, dirs)) => (dirs.workspace().to_owned(), dirs.index()),
            None => (workspace.to_owned(), index(&self.state, workspace)),
        };
        let text = |path: PathBuf| path.display().to_string();
        let scratch = self.sandbox.as_ref().map(|(sandbox, _)| sandbox.scratch());
        let scratch = scratch.unwrap_or_default();
        RunnerWorkspace { workspace: text(seen), index: text(index), scratch }
    }
}

// === impl LocalPool: moves ===

impl LocalPool {
    /// The folder above the directory of all runners.
    pub(crate) fn state(&self) -> PathBuf {
        let runners = &self.options.directory;
        runners.parent().unwrap_or(runners).to_owned()
    }

    /// Whether a runner for this workspace may serve others after it.
    pub(crate) fn can_move(&self, work_dir: WorkDir<'_>) -> bool {
        let is_of_server = work_dir.workspace.parent() == Some(&*self.state().join("workspaces"));
        let may_idle = self.idle.has_room_at_all() && self.dial.is_none();
        may_idle && is_of_server && !work_dir.untrusted && work_dir.scope.is_some()
    }

    /// Whether a movable runner may enter a workspace: another one may have it, since child runs share
    /// that of their parent.
    pub(crate) fn is_free(workspace: &Path) -> bool {
        std::fs::symlink_metadata(workspace).is_ok_and(|found| found.is_dir())
    }

    /// Moves the workspace of a run to its new runner; without it the runner stays with this run.
    pub(crate) fn move_in(&self, runner: &RunnerId, workspace: &Path) {
        let directory = self.directory(runner);
        let moved = Places::make(&directory).and_then(|()| {
            let places = Places::of(&directory, &self.state().join("workspaces"));
            let (places, name) = (places.ok_or(io::ErrorKind::NotFound)?, workspace.file_name());
            places.enter(name.unwrap_or_default()).map(drop)
        });
        if let Err(error) = moved {
            tracing::debug!(%runner, %error, "a runner cannot be moved between workspaces");
            let _not_made = Places::unmake(&directory);
        }
    }

    /// The way of a runner to other workspaces.
    pub(crate) fn moves(
        &self,
        work_dir: WorkDir<'_>,
        sandbox: Option<&(Sandbox, SandboxDirs)>,
    ) -> Option<Moves> {
        let scope = work_dir.scope.filter(|_| self.can_move(work_dir))?.to_owned();
        let sandbox = sandbox.cloned();
        let is_movable = sandbox.as_ref().is_none_or(|(_, dirs)| dirs.places().is_some());
        let (state, since) = (self.state(), self.clock.mark());
        is_movable.then_some(Moves { scope, sandbox, state, since })
    }

    /// Takes the workspaces back from a runner whose processes have ended, then removes its directory.
    pub(crate) fn remove_directory(&self, runner: &RunnerId) {
        let directory = self.directory(runner);
        let places = Places::of(&directory, &self.state().join("workspaces"));
        if let Some(Err(error)) = places.map(|places| places.leave()) {
            tracing::error!(%runner, %error, "failed to take a workspace back; keeping the directory of its runner");
            return;
        }
        let _may_be_gone = std::fs::remove_dir_all(&directory);
    }
}

// === impl Lease: moves ===

impl Lease {
    /// Lets the runner leave its run; `false` if something of the run may be left.
    pub(crate) async fn leave(&mut self, clock: Clock) -> bool {
        if self.moves.is_none() || self.is_old(clock) {
            return false;
        }
        let (answer, answered) = oneshot::channel();
        self.send(Command::Leave(answer)).await;
        let is_clean = tokio::select! {
            is_clean = answered => is_clean.unwrap_or(false),
            () = clock.sleep(LEAVE_WITHIN) => false,
        };
        if !is_clean || !self.is_quiet() {
            return false;
        }
        let places = self.moves.as_ref().and_then(|moves| moves.sandbox.as_ref()?.1.places());
        match places.map_or(Ok(()), |places| places.leave()) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(runner = %self.runner, %error, "failed to take a workspace back from a runner; ending it");
                false
            }
        }
    }

    /// Whether a movable runner is too old for another run.
    pub(crate) fn is_old(&self, clock: Clock) -> bool {
        self.moves.as_ref().is_some_and(|moves| clock.elapsed(moves.since) >= MAX_AGE)
    }

    /// Moves the runner, which has left its last run, to a workspace.
    pub(crate) async fn enter(&mut self, workspace: &Path) -> Result<(), Error> {
        let Some(moves) = &mut self.moves else { return Ok(()) };
        let failed = |source| Error::Prepare { path: workspace.to_owned(), source };
        if let Some((_, dirs)) = &mut moves.sandbox {
            dirs.enter(workspace).map_err(failed)?;
        }
        let place = moves.place(workspace);
        self.send(Command::Enter(place)).await;
        Ok(())
    }
}

/// The index of a workspace, shared by every runner without a sandbox that works in it.
pub(crate) fn index(state: &Path, workspace: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    let name = hex::encode(Sha256::digest(workspace.as_os_str().as_bytes()));
    state.join("workspaces").join(format!("{name}.index"))
}
