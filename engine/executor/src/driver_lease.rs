//! The driver lease: at most one engine drives a run. On one machine it is a lock of the kernel, on a
//! shared database a row with a fence that each commit carries.

use std::{sync::Arc, time::Duration};

use plue_plan::RunId;
use plue_runtime::{Phase, Stop};
use plue_store::Drive;

use crate::{
    engine::Shared,
    engine_registry::{NewRegistration, Registration},
    error::Error,
    run_lock::RunLock,
};

/// Time before the lease of a run that could not be driven is released.
const REST: Duration = Duration::from_secs(5);
/// Time between two tries to release a lease.
const RETRY_AFTER: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) enum DriverLease {
    /// Ends with this process.
    Lock { _lock: RunLock },
    /// Ends with the registration of this engine.
    Drive {
        drive: Drive,
        engine: Arc<Registration>,
        /// For processes of this machine that check locks. Another engine may hold it: the row decides.
        _lock: Option<RunLock>,
    },
}

// === impl DriverLease ===

impl DriverLease {
    /// Takes the lease of a stored run.
    ///
    /// # Errors
    /// [`Error::Busy`] if another live engine has it.
    pub(crate) async fn take(shared: &Shared, run: &RunId) -> Result<Self, Error> {
        if !shared.store.is_shared() {
            let lock = RunLock::take(&shared.options.locks_dir, run)?;
            return Ok(Self::Lock { _lock: lock });
        }
        let engine = shared.registration().await?;
        match shared.store.drives().take(run, &engine.id).await? {
            Some(drive) => Ok(Self::of_drive(shared, drive, engine)),
            None => Err(Error::Busy { run: run.clone() }),
        }
    }

    /// The lease of a run that this engine is about to store under a fresh id.
    pub(crate) async fn for_new_run(shared: &Shared, run: &RunId) -> Result<Self, Error> {
        if !shared.store.is_shared() {
            return Self::take(shared, run).await;
        }
        let engine = shared.registration().await?;
        let drive =
            Drive { run: run.clone(), engine: engine.id.clone(), fence: Drive::FIRST_FENCE };
        Ok(Self::of_drive(shared, drive, engine))
    }

    /// The lease of a row that this engine has taken.
    pub(crate) fn of_drive(shared: &Shared, drive: Drive, engine: Arc<Registration>) -> Self {
        let lock = RunLock::take(&shared.options.locks_dir, &drive.run).ok();
        Self::Drive { drive, engine, _lock: lock }
    }

    /// The fence that commits carry; none on one machine.
    pub(crate) fn fence(&self) -> Option<u64> {
        self.drive().map(|drive| drive.fence)
    }

    /// The row of the lease; none on one machine.
    pub(crate) fn drive(&self) -> Option<&Drive> {
        match self {
            Self::Lock { .. } => None,
            Self::Drive { drive, .. } => Some(drive),
        }
    }

    /// Whether the lease is a row of a shared database, which other engines may take over.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Drive { .. })
    }

    /// Waits until the lease is known to be lost.
    pub(crate) async fn lost(&self) {
        match self {
            Self::Lock { .. } => std::future::pending().await,
            Self::Drive { engine, .. } => engine.expired().await,
        }
    }

    /// Whether the lease still holds, as far as the store knows.
    pub(crate) async fn is_unschedulable(&self, shared: &Shared) -> Result<bool, Error> {
        match self {
            Self::Lock { .. } => Ok(true),
            Self::Drive { drive, engine, .. } => {
                Ok(!engine.is_expired() && shared.store.drives().holds(drive).await?)
            }
        }
    }

    /// Releases the lease. Retries while the database does not answer and this engine is registered: no
    /// other engine could take it earlier.
    pub(crate) async fn release(&self, shared: &Shared, stop: &Stop) {
        let Self::Drive { drive, engine, .. } = self else { return };
        while !engine.is_expired() {
            match shared.store.drives().release(drive).await {
                Ok(()) => return,
                Err(error) if !error.is_transient() || stop.phase() >= Phase::Aborting => {
                    tracing::warn!(run = %drive.run, %error, "failed to release a driver lease; it expires");
                    return;
                }
                Err(_) => shared.clock.sleep(RETRY_AFTER).await,
            }
        }
    }
}

/// Releases the lease of a run that could not be driven, after a pause: the cause mostly persists, for
/// every engine.
pub(crate) fn release_later(lease: Arc<DriverLease>, shared: &Arc<Shared>, stop: Stop) {
    if !lease.is_shared() {
        return;
    }
    let engine = shared.clone();
    drop(shared.tasks.spawn("resting run", async move {
        tokio::select! {
            () = stop.reached(Phase::Draining) => {}
            () = lease.lost() => {}
            () = engine.clock.sleep(REST) => {}
        }
        lease.release(&engine, &stop).await;
    }));
}

// === impl Shared ===

impl Shared {
    /// The registration of this engine on the shared database.
    pub(crate) async fn registration(&self) -> Result<Arc<Registration>, Error> {
        let new = NewRegistration {
            store: &self.store,
            clock: self.clock,
            tasks: &self.tasks,
            locks: &self.options.locks_dir,
            lease: self.options.driving.lease,
            id: self.ids.text(),
        };
        self.registry.join(new).await
    }
}
