//! Places of child runs: how many of them run at the same time.
//!
//! A run lends its own place to one child at a time, so that every family of runs goes on however full
//! the engine is. Further children at the same time take places of their own, within the bounds of the
//! engine and of their repository. Must not start anything.

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
/// Child runs of one engine in places of their own, where no server gives out places.
pub const MAX_PLACED_WITHOUT_SERVER: usize = 8;

/// The places of child runs of one engine.
#[derive(Debug)]
pub(crate) struct ChildPlaces {
    quotas: Option<Quotas>,
    /// Child runs in places of their own.
    own: Arc<Semaphore>,
    /// One admission at a time: from the count of what runs until the admitted child is stored.
    admission: Arc<Semaphore>,
    placed: Arc<AtomicUsize>,
}

/// The places of the children of one run.
#[derive(Debug, Clone)]
pub(crate) struct FamilyPlaces {
    at_once: Arc<Semaphore>,
    of_parent: Arc<Semaphore>,
    /// The child that had the parent's place last.
    lent_to: Arc<Mutex<Option<RunId>>>,
}

/// The place of a child run until this is dropped.
#[derive(Debug)]
pub(crate) struct ChildPlace {
    _at_once: OwnedSemaphorePermit,
    _place: OwnedSemaphorePermit,
    _placed: Option<Placed>,
    admission: Option<OwnedSemaphorePermit>,
}

/// Counts a child run in a place of its own.
#[derive(Debug)]
struct Placed(Arc<AtomicUsize>);

// === impl ChildPlaces ===

impl ChildPlaces {
    /// `quotas`: the bounds of a server. Child runs then have at most half of its places.
    pub(crate) fn new(quotas: Option<Quotas>) -> Self {
        let own = quotas.map_or(MAX_PLACED_WITHOUT_SERVER, |quotas| quotas.max_runs / 2);
        Self {
            quotas,
            own: Arc::new(Semaphore::new(own)),
            admission: Arc::new(Semaphore::new(1)),
            placed: Arc::default(),
        }
    }

    /// Child runs in places of their own.
    pub(crate) fn placed(&self) -> usize {
        self.placed.load(Ordering::Relaxed)
    }
}

// === impl FamilyPlaces ===

impl FamilyPlaces {
    pub(crate) fn new() -> Self {
        let at_once = Arc::new(Semaphore::new(MAX_CHILDREN_AT_ONCE));
        Self { at_once, of_parent: Arc::new(Semaphore::new(1)), lent_to: Arc::default() }
    }

    fn lent_to(&self) -> MutexGuard<'_, Option<RunId>> {
        self.lent_to.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ChildPlace ===

impl ChildPlace {
    /// The child is stored, so that the next admission counts it.
    pub(crate) fn is_stored(&mut self) {
        self.admission = None;
    }
}

impl Placed {
    fn count(placed: &Arc<AtomicUsize>) -> Self {
        placed.fetch_add(1, Ordering::Relaxed);
        Self(placed.clone())
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Shared: places of children ===

impl Shared {
    /// Waits for the place of a child: that of its parent, or one of its own. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn child_place(
        &self,
        family: &FamilyPlaces,
        child: &RunId,
        repo: Option<&str>,
    ) -> Result<ChildPlace, Error> {
        let at_once = permit(&family.at_once).await;
        loop {
            // Also the child in its parent's place is counted by those that are admitted after it.
            let admission = permit(&self.child_places.admission).await;
            let of_parent = Arc::clone(&family.of_parent).try_acquire_owned().ok();
            let place = match of_parent {
                Some(of_parent) => {
                    *family.lent_to() = Some(child.clone());
                    Some((of_parent, None))
                }
                None => self.own_place(family, repo).await?,
            };
            if let Some((place, placed)) = place {
                return Ok(ChildPlace {
                    _at_once: at_once,
                    _place: place,
                    _placed: placed,
                    admission: Some(admission),
                });
            }
            drop(admission);
            tokio::select! {
                of_parent = permit(&family.of_parent) => drop(of_parent),
                () = self.clock.sleep(self.options.control_poll) => {}
            }
        }
    }

    /// A place of its own, if there is one now.
    async fn own_place(
        &self,
        family: &FamilyPlaces,
        repo: Option<&str>,
    ) -> Result<Option<(OwnedSemaphorePermit, Option<Placed>)>, Error> {
        let places = &self.child_places;
        let Ok(own) = Arc::clone(&places.own).try_acquire_owned() else { return Ok(None) };
        let has_room = self.has_room(repo).await? && self.counts_lent(family).await?;
        Ok(has_room.then(|| (own, Some(Placed::count(&places.placed)))))
    }

    /// Whether the child in its parent's place was running, and so counted, when the room was judged. One
    /// that has ended is about to give the place to the next one.
    async fn counts_lent(&self, family: &FamilyPlaces) -> Result<bool, Error> {
        let lent_to = family.lent_to().clone();
        let Some(lent_to) = lent_to else { return Ok(true) };
        let row = self.store.run(&lent_to).await?;
        Ok(row.is_some_and(|row| !row.view.status.is_terminal()))
    }

    /// Whether the engine and the repository have room for one run more.
    async fn has_room(&self, repo: Option<&str>) -> Result<bool, Error> {
        let Some(quotas) = self.child_places.quotas else { return Ok(true) };
        let engine = match self.store.is_shared() {
            true => Some(self.member().await?),
            false => None,
        };
        let engine = engine.as_ref().map(|member| member.id.as_str());
        let running = self.store.running_beside(engine, repo).await?;
        let all = running.without_parent + self.child_places.placed();
        Ok(all < quotas.max_runs && running.of_repo < quotas.per_repo)
    }
}

async fn permit(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match Arc::clone(places).acquire_owned().await {
        Ok(permit) => permit,
        // The semaphore is never closed.
        Err(_closed) => std::future::pending().await,
    }
}
