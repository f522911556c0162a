//! Idle runners: parked between two runs of one workspace or, on a server, of one repository; or started
//! before there is a run.
//!
//! The store decides which run owns a runner: it is bound to the next run before it gets any work.
//! A supervised runner has a file lock that ends with this process, so that runners of a dead
//! engine are found and ended. Must not hand a runner to another workspace, unless it can move.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use plue_plan::RunId;
use plue_runtime::{Ids, TaskSet};
use plue_store::RunnerRow;

use crate::{
    error::Error,
    lease::Lease,
    local::{LocalPool, WorkDir},
};

/// The file in a runner's directory that its supervisor has locked.
const LED: &str = "led";
/// Longest time that a new row may be without that file.
const NEW: Duration = Duration::from_secs(60);
/// Tries at a lock that other processes take for a moment to test it.
const LOOKS: u32 = 100;

/// Runners without a lease. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Idle {
    room: usize,
    parked: Arc<Mutex<Vec<Parked>>>,
}

#[derive(Debug)]
struct Parked {
    workspace: PathBuf,
    lease: Lease,
    /// The run that it is bound to in the store.
    group: Option<RunId>,
}

// === impl Idle ===

impl Idle {
    pub(crate) fn with_room(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Parked>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether runners may be idle between runs.
    pub(crate) fn has_room_at_all(&self) -> bool {
        self.room > 0
    }

    /// A runner for the workspace; a movable one has to enter it.
    fn take(&self, work_dir: WorkDir<'_>) -> Option<Parked> {
        let mut parked = self.lock();
        let fits = |one: &Parked| match &one.lease.moves {
            Some(moves) => work_dir.scope == Some(&moves.scope),
            None => one.workspace == work_dir.workspace,
        };
        // The last parked is the warmest.
        let at = parked.iter().rposition(fits)?;
        Some(parked.remove(at))
    }
}

// === impl LocalPool: without a run ===

impl LocalPool {
    /// The same pool with room for this many idle runners, each for further runs in its workspace.
    /// [`LocalPool::close`] ends them.
    #[must_use]
    pub fn with_idle_room(self, runners: usize) -> Self {
        Self { idle: Idle::with_room(runners), ..self }
    }

    /// Starts a runner before there is a run; `python`: it expects Python steps.
    /// [`LocalPool::close`] ends it if none comes.
    ///
    /// # Errors
    /// The runner's row cannot be stored.
    pub async fn warm(&self, workspace: &Path, ids: &Ids, python: bool) -> Result<(), Error> {
        let work_dir = WorkDir { workspace, untrusted: false, scope: None };
        let lease = self.start(None, work_dir, python, ids).await?;
        self.idle.lock().push(Parked { workspace: workspace.to_owned(), lease, group: None });
        Ok(())
    }

    /// Parks the runner of a finished run; a movable one leaves the workspace first. Returns the lease to
    /// release: this one if it has no session, something of the run is left, or the run was untrusted;
    /// without room the one that has been idle for longest.
    #[must_use = "a lease that comes back is to be released"]
    pub async fn park(&self, mut lease: Lease, run: &RunId, workspace: &Path) -> Option<Lease> {
        let usable = !lease.is_for_one_run() && lease.is_quiet() && lease.session().is_some();
        if !usable || !self.idle.has_room_at_all() {
            return Some(lease);
        }
        if lease.moves.is_some() && !lease.leave(self.clock).await {
            return Some(lease);
        }
        let mut parked = self.idle.lock();
        let is_full = parked.len() >= self.idle.room;
        let oldest = is_full.then(|| parked.remove(0).lease);
        parked.push(Parked { workspace: workspace.to_owned(), lease, group: Some(run.clone()) });
        oldest
    }

    /// An idle runner for this workspace, after binding it to the run.
    pub(crate) async fn take_idle(
        &self,
        run: &RunId,
        work_dir: WorkDir<'_>,
    ) -> Result<Option<Lease>, Error> {
        if self.can_move(work_dir) && !Self::is_free(work_dir.workspace) {
            return Ok(None);
        }
        while let Some(Parked { mut lease, group, .. }) = self.idle.take(work_dir) {
            let usable = lease.is_quiet() && !lease.is_old(self.clock);
            if usable && self.store.runners().bind(&lease.runner, group.as_ref(), run).await? {
                match lease.enter(work_dir.workspace).await {
                    Ok(()) => return Ok(Some(lease)),
                    Err(error) => {
                        tracing::warn!(runner = %lease.runner, %error, "failed to move an idle runner; starting another one");
                    }
                }
            }
            self.end(lease).await?;
        }
        Ok(None)
    }

    /// Ends all idle runners, and waits until they are gone.
    ///
    /// # Errors
    /// [`Error::Store`]: a row is left.
    pub async fn close(&self) -> Result<(), Error> {
        let parked = std::mem::take(&mut *self.idle.lock());
        let mut ends = TaskSet::new(&self.tasks, "idle runner");
        for Parked { lease, .. } in parked {
            let pool = self.clone();
            ends.spawn(lease.runner.clone(), async move { pool.end(lease).await });
        }
        let mut closed = Ok(());
        while let Some((_, ended)) = ends.next().await {
            closed = closed.and(ended.unwrap_or(Ok(())));
        }
        closed
    }

    async fn end(&self, lease: Lease) -> Result<(), Error> {
        let runner = lease.runner.clone();
        lease.release().await;
        let lost = self.store.runners().gone(&runner, "not needed", self.clock.now()).await?;
        if !lost.is_empty() {
            tracing::warn!(%runner, "an idle runner had attempts");
        }
        Ok(())
    }

    /// Whether a living process supervises the runner. A runner without a directory counts as one
    /// of another machine, and as supervised, if the database is shared and its run is not over. A
    /// runner that is being made is supervised before it has a directory. If its run is over, its
    /// directory was removed by a process that died before it removed the row.
    #[must_use]
    pub fn is_led(&self, runner: &RunnerRow, run_is_over: bool) -> bool {
        let directory = self.options.directory.join(runner.id.as_str());
        let age = || self.clock.now().duration_since(runner.registered_at).unsigned_abs();
        let is_new = || !run_is_over && age() < NEW && self.is_being_made(&directory);
        if !directory.exists() {
            return self.store.is_shared() && !run_is_over || is_new();
        }
        // Without the file: its maker is about to create it, or died before.
        led(&directory).unwrap_or_else(is_new)
    }

    /// Whether a process makes runners at this moment, or has just made this one. The kernel
    /// releases the lock of [`LocalPool::making`] with its process.
    fn is_being_made(&self, directory: &Path) -> bool {
        match File::open(&self.options.directory).map(|all| (all.try_lock(), all)) {
            // No process makes runners: this one is made, or never will be.
            Ok((Ok(()), _all)) => led(directory).unwrap_or(false),
            Ok((Err(_), _)) => true,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Locks the directory of runners while this process makes one: from before its row is stored
    /// until it is supervised.
    pub(crate) fn making(&self) -> Result<File, Error> {
        let path = &self.options.directory;
        let failed = |source| Error::Prepare { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let all = File::open(path).map_err(failed)?;
        // Waits only while another process tests the lock.
        all.lock_shared().map_err(failed)?;
        Ok(all)
    }
}

/// Whether the file in a runner's directory is locked; `None` without such a file.
fn led(directory: &Path) -> Option<bool> {
    let file = File::open(directory.join(LED)).ok()?;
    Some(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Marks a runner as supervised while the returned file is open. Never waits: the lock only
/// informs, the store decides which engine drives a run.
pub(crate) fn lead(directory: &Path) -> Result<File, Error> {
    let path = directory.join(LED);
    let failed = |source| Error::Prepare { path: path.clone(), source };
    let file = File::create(&path).map_err(failed)?;
    for _ in 0..LOOKS {
        match file.try_lock() {
            Ok(()) => break,
            // Another process tests the lock, or the last supervisor is just ending.
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    Ok(file)
}
