//! Runners without a run: kept between two runs of one workspace, or started before there is a run.
//!
//! Whose a runner is stands in the store: it is bound to the next run before it gets any work. That
//! somebody leads a runner is a lock that ends with this process, so that what a dead engine kept is
//! found and ended. Must not hand a runner to another workspace.

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
    local::{LocalPool, Place},
};

/// The file in a runner's directory that whoever leads it has locked.
const LED: &str = "led";
/// How long a new row may be without that file.
const NEW: Duration = Duration::from_secs(60);
/// Tries at the lock of a file that others only look at.
const LOOKS: u32 = 100;

/// Runners that nobody leases. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Idle {
    room: usize,
    parked: Arc<Mutex<Vec<Parked>>>,
}

#[derive(Debug)]
struct Parked {
    workspace: PathBuf,
    lease: Lease,
    /// What the store says it works for.
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

    fn take(&self, workspace: &Path) -> Option<Parked> {
        let mut parked = self.lock();
        // The last one is the warmest.
        let at = parked.iter().rposition(|one| one.workspace == workspace)?;
        Some(parked.swap_remove(at))
    }
}

// === impl LocalPool: without a run ===

impl LocalPool {
    /// A pool that keeps so many runners for further runs in the same workspace. [`LocalPool::close`]
    /// ends them.
    #[must_use]
    pub fn keeping(self, runners: usize) -> Self {
        Self { idle: Idle::with_room(runners), ..self }
    }

    /// Starts a runner for a run that will come, with `python` one that expects Python steps.
    /// [`LocalPool::close`] ends it if none comes.
    ///
    /// # Errors
    /// The runner's row cannot be stored.
    pub async fn warm(&self, workspace: &Path, ids: &Ids, python: bool) -> Result<(), Error> {
        let place = Place { workspace, untrusted: false };
        let lease = self.start(None, (place, python), ids).await?;
        self.idle.lock().push(Parked { workspace: workspace.to_owned(), lease, group: None });
        Ok(())
    }

    /// Takes a runner back whose run is over. The lease comes back when it cannot be kept: there is no
    /// room, it is not in session, or the run was a stranger's.
    #[must_use = "a lease that comes back is to be released"]
    pub fn keep(&self, mut lease: Lease, run: &RunId, workspace: &Path) -> Option<Lease> {
        let mut parked = self.idle.lock();
        let usable = !lease.is_for_one_run() && lease.is_quiet() && lease.session().is_some();
        if parked.len() >= self.idle.room || !usable {
            return Some(lease);
        }
        parked.push(Parked { workspace: workspace.to_owned(), lease, group: Some(run.clone()) });
        None
    }

    /// An idle runner of this workspace, bound to the run.
    pub(crate) async fn take_idle(
        &self,
        run: &RunId,
        workspace: &Path,
    ) -> Result<Option<Lease>, Error> {
        while let Some(Parked { mut lease, group, .. }) = self.idle.take(workspace) {
            let usable = lease.is_quiet();
            if usable && self.store.bind_runner(&lease.runner, group.as_ref(), run).await? {
                return Ok(Some(lease));
            }
            self.end(lease).await?;
        }
        Ok(None)
    }

    /// Ends all runners without a run, and waits until they are gone.
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
        let lost = self.store.runner_gone(&runner, "not needed", self.clock.now()).await?;
        if !lost.is_empty() {
            tracing::warn!(%runner, "an idle runner had attempts");
        }
        Ok(())
    }

    /// Whether a process that lives leads the runner. A runner of another machine, which has no
    /// directory here, counts as led if others may use the database and its run is not over. One that is just being made is led
    /// before it has a directory; not if the run that it has is over: then its directory is gone, and
    /// whoever removed it died before the row was.
    #[must_use]
    pub fn is_led(&self, runner: &RunnerRow, run_is_over: bool) -> bool {
        let directory = self.options.directory.join(runner.id.as_str());
        let age = || self.clock.now().duration_since(runner.registered_at).unsigned_abs();
        let is_new = || !run_is_over && age() < NEW && self.is_being_made(&directory);
        if !directory.exists() {
            return self.store.is_shared() && !run_is_over || is_new();
        }
        // Without the file: its maker is about to make it, or died before it could.
        led(&directory).unwrap_or_else(is_new)
    }

    /// Whether somebody makes runners at this moment, or has just made this one. The kernel ends what
    /// [`LocalPool::making`] holds with its process.
    fn is_being_made(&self, directory: &Path) -> bool {
        match File::open(&self.options.directory).map(|all| (all.try_lock(), all)) {
            // Nobody does: this one is made, or never will be.
            Ok((Ok(()), _all)) => led(directory).unwrap_or(false),
            Ok((Err(_), _)) => true,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }

    /// Says that this process makes a runner, until the file is closed: before its row is stored, and
    /// until it is led.
    pub(crate) fn making(&self) -> Result<File, Error> {
        let path = &self.options.directory;
        let failed = |source| Error::Prepare { path: path.clone(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let all = File::open(path).map_err(failed)?;
        // Waits only while somebody looks.
        all.lock_shared().map_err(failed)?;
        Ok(all)
    }
}

/// Whether the file in a runner's directory is locked; `None` without such a file.
fn led(directory: &Path) -> Option<bool> {
    let file = File::open(directory.join(LED)).ok()?;
    Some(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Locks the directory of a runner for whoever leads it, as long as the file is open. Never waits: who
/// leads a run is decided elsewhere, this only tells.
pub(crate) fn lead(directory: &Path) -> Result<File, Error> {
    let path = directory.join(LED);
    let failed = |source| Error::Prepare { path: path.clone(), source };
    let file = File::create(&path).map_err(failed)?;
    for _ in 0..LOOKS {
        match file.try_lock() {
            Ok(()) => break,
            // Somebody looks at it at this moment, or the last one who led is just going.
            Err(TryLockError::WouldBlock) => std::thread::yield_now(),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    Ok(file)
}
