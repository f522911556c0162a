//! Slots of child runs: how many of them run at the same time.
//!
//! A run lends its own slot to one child at a time, so that every tree of runs makes progress on a full
//! engine. Further concurrent children take slots of their own, within the limits of the engine and of
//! their repository. Must not start anything.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use plue_flow::quotas::Quotas;
use plue_plan::RunId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{engine::Shared, error::Error};

/// Children of one run that run at the same time.
pub const MAX_CHILDREN_AT_ONCE: usize = 4;
/// Child runs of one engine in slots of their own, without a server's quotas.
pub const MAX_SLOTS_WITHOUT_SERVER: usize = 8;

/// The slots of child runs of one engine.
#[derive(Debug)]
pub(crate) struct ChildSlots {
    quotas: Option<Quotas>,
    /// Slots that are not those of parents.
    own: Arc<Semaphore>,
    /// One admission at a time: from the count of what runs until the admitted child is stored.
    admission: Arc<Semaphore>,
    occupied: Arc<AtomicUsize>,
}

/// The slots of the children of one run.
#[derive(Debug, Clone)]
pub(crate) struct SiblingSlots {
    at_once: Arc<Semaphore>,
    of_parent: Arc<Semaphore>,
    /// The child that had the parent's slot last.
    lent_to: Arc<Mutex<Option<RunId>>>,
}

/// The slot of a child run; released on drop.
#[derive(Debug)]
pub(crate) struct ChildSlot {
    _at_once: OwnedSemaphorePermit,
    _slot: OwnedSemaphorePermit,
    _occupied: Option<Occupied>,
    admission: Option<OwnedSemaphorePermit>,
}

/// Counts a child run in a slot of its own.
#[derive(Debug)]
struct Occupied(Arc<AtomicUsize>);

// === impl ChildSlots ===

impl ChildSlots {
    /// `quotas`: the limits of a server; child runs have at most half of its slots of their own.
    pub(crate) fn new(quotas: Option<Quotas>) -> Self {
        let own = quotas.map_or(MAX_SLOTS_WITHOUT_SERVER, |quotas| quotas.max_runs / 2);
        Self {
            quotas,
            own: Arc::new(Semaphore::new(own)),
            admission: Arc::new(Semaphore::new(1)),
            occupied: Arc::default(),
        }
    }

    /// Number of child runs in slots of their own.
    pub(crate) fn occupied(&self) -> usize {
        self.occupied.load(Ordering::Relaxed)
    }
}

// === impl SiblingSlots ===

impl SiblingSlots {
    pub(crate) fn new() -> Self {
        let at_once = Arc::new(Semaphore::new(MAX_CHILDREN_AT_ONCE));
        Self { at_once, of_parent: Arc::new(Semaphore::new(1)), lent_to: Arc::default() }
    }

    fn lent_to(&self) -> MutexGuard<'_, Option<RunId>> {
        self.lent_to.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ChildSlot ===

impl ChildSlot {
    /// Ends the admission: the next one counts the stored child.
    pub(crate) fn child_is_stored(&mut self) {
        self.admission = None;
    }
}

impl Occupied {
    fn count(occupied: &Arc<AtomicUsize>) -> Self {
        occupied.fetch_add(1, Ordering::Relaxed);
        Self(occupied.clone())
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Shared: slots of children ===

impl Shared {
    /// Waits for the slot of a child: that of its parent, or one of its own. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn child_slot(
        &self,
        siblings: &SiblingSlots,
        child: &RunId,
        repo: Option<&str>,
    ) -> Result<ChildSlot, Error> {
        let at_once = permit(&siblings.at_once).await;
        loop {
            // Later admissions count this child too, also in its parent's slot.
            let admission = permit(&self.child_slots.admission).await;
            let of_parent = Arc::clone(&siblings.of_parent).try_acquire_owned().ok();
            let slot = match of_parent {
                Some(of_parent) => {
                    *siblings.lent_to() = Some(child.clone());
                    Some((of_parent, None))
                }
                None => self.own_slot(siblings, repo).await?,
            };
            if let Some((slot, occupied)) = slot {
                return Ok(ChildSlot {
                    _at_once: at_once,
                    _slot: slot,
                    _occupied: occupied,
                    admission: Some(admission),
                });
            }
            drop(admission);
            tokio::select! {
                of_parent = permit(&siblings.of_parent) => drop(of_parent),
                () = self.clock.sleep(self.options.driving.control_poll) => {}
            }
        }
    }

    /// A slot of its own, if one is free.
    async fn own_slot(
        &self,
        siblings: &SiblingSlots,
        repo: Option<&str>,
    ) -> Result<Option<(OwnedSemaphorePermit, Option<Occupied>)>, Error> {
        let slots = &self.child_slots;
        let Ok(own) = Arc::clone(&slots.own).try_acquire_owned() else { return Ok(None) };
        let has_room = self.has_room(repo).await? && self.counts_lent(siblings).await?;
        Ok(has_room.then(|| (own, Some(Occupied::count(&slots.occupied)))))
    }

    /// Whether the child in its parent's slot was running, and so counted, at the time of the check. A child
    /// that has ended is about to release the slot.
    async fn counts_lent(&self, siblings: &SiblingSlots) -> Result<bool, Error> {
        let lent_to = siblings.lent_to().clone();
        let Some(lent_to) = lent_to else { return Ok(true) };
        let row = self.store.runs().get(&lent_to).await?;
        Ok(row.is_some_and(|row| !row.view.status.is_terminal()))
    }

    /// Whether the quotas of engine and repository allow one more run.
    async fn has_room(&self, repo: Option<&str>) -> Result<bool, Error> {
        let Some(quotas) = self.child_slots.quotas else { return Ok(true) };
        let engine = match self.store.is_shared() {
            true => Some(self.registration().await?),
            false => None,
        };
        let engine = engine.as_ref().map(|engine| engine.id.as_str());
        let running = self.store.capacity().running_beside(engine, repo).await?;
        let all = running.without_parent + self.child_slots.occupied();
        Ok(all < quotas.max_runs && running.of_repo < quotas.per_repo)
    }
}

async fn permit(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match Arc::clone(semaphore).acquire_owned().await {
        Ok(permit) => permit,
        // The semaphore is never closed.
        Err(_closed) => std::future::pending().await,
    }
}
