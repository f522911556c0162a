//! The right to drive a run: on one machine a lock that the kernel keeps, on a shared database a row with
//! a fence that each commit carries.

use std::{sync::Arc, time::Duration};

use plue_plan::RunId;
use plue_runtime::{Phase, Stop};
use plue_store::Drive;

use crate::{
    engine::Shared,
    error::Error,
    liveness::RunLock,
    membership::{Member, Registrar},
};

/// How long a run rests that could not be driven.
const REST: Duration = Duration::from_secs(5);
/// Between two tries to give a right back.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug)]
pub(crate) enum Right {
    /// Ends with this process.
    Lock { _lock: RunLock },
    /// Ends with this engine.
    Drive {
        drive: Drive,
        member: Arc<Member>,
        /// For those on this machine who look at locks. Another may have it: the row is what counts.
        _lock: Option<RunLock>,
    },
}

// === impl Right ===

impl Right {
    /// Takes the right to drive a run.
    pub(crate) async fn take(shared: &Shared, run: &RunId) -> Result<Self, Error> {
        if !shared.store.is_shared() {
            let lock = RunLock::take(&shared.options.locks_dir, run)?;
            return Ok(Self::Lock { _lock: lock });
        }
        let member = shared.member().await?;
        match shared.store.take_drive(run, &member.id).await? {
            Some(drive) => Ok(Self::of(shared, drive, member)),
            None => Err(Error::Busy { run: run.clone() }),
        }
    }

    /// The right to drive a run that this engine is about to store under an id of its own.
    pub(crate) async fn of_new(shared: &Shared, run: &RunId) -> Result<Self, Error> {
        if !shared.store.is_shared() {
            return Self::take(shared, run).await;
        }
        let member = shared.member().await?;
        let drive =
            Drive { run: run.clone(), engine: member.id.clone(), fence: Drive::FIRST_FENCE };
        Ok(Self::of(shared, drive, member))
    }

    /// A right that was taken before, by this member.
    pub(crate) fn of(shared: &Shared, drive: Drive, member: Arc<Member>) -> Self {
        let lock = RunLock::take(&shared.options.locks_dir, &drive.run).ok();
        Self::Drive { drive, member, _lock: lock }
    }

    /// What commits carry.
    pub(crate) fn fence(&self) -> Option<u64> {
        match self {
            Self::Lock { .. } => None,
            Self::Drive { drive, .. } => Some(drive.fence),
        }
    }

    /// The row that says so, on a shared database.
    pub(crate) fn drive(&self) -> Option<&Drive> {
        match self {
            Self::Lock { .. } => None,
            Self::Drive { drive, .. } => Some(drive),
        }
    }

    /// Whether others may go on with the run when this engine stops.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Drive { .. })
    }

    /// Waits until it is known to be lost.
    pub(crate) async fn lost(&self) {
        match self {
            Self::Lock { .. } => std::future::pending().await,
            Self::Drive { member, .. } => member.lost().await,
        }
    }

    /// Whether it still holds, as far as the store knows.
    pub(crate) async fn holds(&self, shared: &Shared) -> Result<bool, Error> {
        match self {
            Self::Lock { .. } => Ok(true),
            Self::Drive { drive, member, .. } => {
                Ok(!member.is_lost() && shared.store.holds_drive(drive).await?)
            }
        }
    }

    /// Gives it back. Waits for a database that does not answer, as long as this engine lives: nobody
    /// else could drive the run before.
    pub(crate) async fn give_back(&self, shared: &Shared, stop: &Stop) {
        let Self::Drive { drive, member, .. } = self else { return };
        while !member.is_lost() {
            match shared.store.release_drive(drive).await {
                Ok(()) => return,
                Err(error) if !error.is_transient() || stop.phase() >= Phase::Aborting => {
                    tracing::warn!(run = %drive.run, %error, "the run is not given back");
                    return;
                }
                Err(_) => shared.clock.sleep(AGAIN_AFTER).await,
            }
        }
    }
}

/// Gives the right to a run back that could not be driven, but not at once: what was in the way will mostly
/// still be so, for every engine.
pub(crate) fn give_back_later(right: Arc<Right>, shared: &Arc<Shared>, stop: Stop) {
    if !right.is_shared() {
        return;
    }
    let engine = shared.clone();
    drop(shared.tasks.spawn("resting run", async move {
        tokio::select! {
            () = stop.reached(Phase::Draining) => {}
            () = right.lost() => {}
            () = engine.clock.sleep(REST) => {}
        }
        right.give_back(&engine, &stop).await;
    }));
}

// === impl Shared ===

impl Shared {
    /// This engine among those that share the database.
    pub(crate) async fn member(&self) -> Result<Arc<Member>, Error> {
        let registrar = Registrar {
            store: &self.store,
            clock: self.clock,
            tasks: &self.tasks,
            locks: &self.options.locks_dir,
            lease: self.options.lease,
            id: self.ids.text(),
        };
        self.membership.join(registrar).await
    }
}
