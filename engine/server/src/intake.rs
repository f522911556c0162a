//! Work on a delivery: it is read, fetched, planned, matched, submitted and settled. Settling comes
//! last: work that is interrupted earlier is repeated, and finds what it made. The order of
//! deliveries is in `inbox`.

use plue_store::{
    DeliveryState,
    delivery::{ClaimedDelivery, Settlement},
};

use crate::{
    error::Error, follow::is_heard, identity::Owner, occasion, provenance::Provenance,
    schedules::SCHEDULE, server::Server,
};

/// Characters of a note.
pub(crate) const MAX_NOTE: usize = 4_000;

/// What came of a delivery.
struct Worked {
    settlement: Settlement,
    /// Some of it waits for a maintainer.
    held: Option<Held>,
}

/// The commit that waits.
struct Held {
    repo: String,
    sha: String,
    /// It was known that a maintainer allows it.
    knew: bool,
}

// === impl Worked ===

impl Worked {
    fn new(state: DeliveryState, note: String) -> Self {
        Self::of(Settlement::new(state, note))
    }

    fn of(settlement: Settlement) -> Self {
        Self { settlement, held: None }
    }
}

impl Server {
    /// Works on a delivery and records what came of it.
    ///
    /// # Errors
    /// The database, or something else that may pass: the delivery stays new.
    pub(crate) async fn settle(&self, claimed: &ClaimedDelivery) -> Result<(), Error> {
        loop {
            let mut worked = match self.work_on(claimed).await {
                Ok(Some(worked)) => worked,
                Ok(None) => return Ok(self.store().release_delivery(claimed).await?),
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => Worked::new(DeliveryState::Failed, error.to_string()),
            };
            let settlement = &mut worked.settlement;
            settlement.note = settlement.note.chars().take(MAX_NOTE).collect();
            let Some(held) = worked.held else {
                return Ok(self.store().settle(claimed, settlement).await?);
            };
            let (commit, now) = ((&*held.repo, &*held.sha), self.parts().clock.now());
            if self.store().settle_held(claimed, commit, (settlement, held.knew), now).await? {
                return Ok(());
            }
            // Somebody has let the commit run meanwhile: now it is known.
        }
    }

    /// `None`: it is in the queue of another repository now.
    async fn work_on(&self, claimed: &ClaimedDelivery) -> Result<Option<Worked>, Error> {
        let delivery = &claimed.row;
        let ignored = |why: String| Ok(Some(Worked::new(DeliveryState::Ignored, why)));
        let Some(repo) = self.store().repo_by_hook(&delivery.hook).await? else {
            return ignored("the repository is no longer watched".to_owned());
        };
        if delivery.forge == SCHEDULE {
            return Ok(Some(Worked::of(Box::pin(self.run_of_tick(delivery, &repo)).await?)));
        }
        if is_heard(&delivery.forge) {
            return Ok(Some(Worked::of(Box::pin(self.follow(delivery, &repo)).await?)));
        }
        let read = match occasion::read(delivery) {
            Ok(read) => read,
            Err(why) => return ignored(why),
        };
        let (repo, remark) = match self.owner(claimed, repo, read.claim.as_ref()).await? {
            Owner::Watched(repo, remark) => (repo, remark),
            Owner::Routed => return Ok(None),
            Owner::Refused(why) => return ignored(why),
        };
        let occasion = match read.occasion(&repo) {
            Ok(occasion) => occasion,
            Err(why) => return ignored(why),
        };
        if occasion.deleted {
            return ignored("the ref is gone".to_owned());
        }
        let (mirror, commit) = match self.provenance(delivery, &repo, &occasion).await? {
            Provenance::Known(mirror, commit) => (mirror, commit),
            Provenance::Refused(why) => return ignored(why),
        };
        self.complete(&repo, &mirror, &commit).await?;
        let reacted = self.react(delivery, &repo, &occasion, (&mirror, &commit)).await?;
        let held = reacted.held.map(|knew| Held {
            repo: repo.name.clone(),
            sha: commit.as_str().to_owned(),
            knew,
        });
        // One that was refused for its sender is looked at again if the forge sends it again.
        let state = if reacted.is_refused { DeliveryState::Ignored } else { DeliveryState::Done };
        let mut settlement = reacted.log.settlement(state, occasion.event.kind);
        if let Some(remark) = remark {
            settlement.note = format!("{remark}\n{}", settlement.note);
        }
        Ok(Some(Worked { settlement, held }))
    }

    /// Waits for something new; `false`: the server stops.
    pub(crate) async fn rest(&self, changes: &mut tokio::sync::watch::Receiver<u64>) -> bool {
        let parts = self.parts();
        tokio::select! {
            () = parts.stop.reached(plue_runtime::Phase::Draining) => false,
            Ok(()) = changes.changed() => true,
            () = parts.clock.sleep(parts.options.poll) => true,
        }
    }
}
