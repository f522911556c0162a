//! Deliveries from the store, one after the other: read, fetched, planned, matched, submitted,
//! settled. A delivery is settled last: whatever dies before that is done again and finds what it made.

use jiff::SignedDuration;
use plue_forge::git::{CommitId, Mirror};
use plue_store::{DeliveryRow, DeliveryState, RepoRow};

use crate::{
    error::Error,
    follow::is_heard,
    occasion::{self, Occasion},
    server::Server,
};

/// Deliveries that are read at once.
const BATCH: u32 = 32;
/// Deliveries that are taken from other engines at once: few, so that all have work.
const TAKEN: u32 = 4;
/// A forge may tell of a ref a moment before it can be fetched.
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// Characters of a note.
const MAX_NOTE: usize = 4_000;

/// What came of a delivery.
struct Worked {
    state: DeliveryState,
    note: String,
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
        Self { state, note, held: None }
    }
}

impl Server {
    /// Takes in deliveries until the server stops.
    pub(crate) async fn take_in(&self) {
        let mut changes = self.store().changes();
        loop {
            changes.borrow_and_update();
            match self.take_in_once().await {
                Ok(0) => {}
                Ok(_) => continue,
                Err(error) => tracing::warn!(%error, "deliveries wait"),
            }
            if !self.rest(&mut changes).await {
                return;
            }
        }
    }

    /// Works on what is new; how many deliveries were settled.
    ///
    /// # Errors
    /// The database, or a repository that cannot be reached now: its deliveries stay new.
    pub async fn take_in_once(&self) -> Result<usize, Error> {
        let mut settled = 0;
        let mut trouble = None;
        for delivery in self.next_deliveries().await? {
            match self.settle(&delivery).await {
                Ok(()) => settled += 1,
                // One repository that is away must not hold back the others.
                Err(error) => {
                    if self.store().is_shared() {
                        self.store().untake_delivery(&delivery).await?;
                    }
                    trouble = Some(error);
                }
            }
        }
        match trouble {
            Some(error) if settled == 0 => Err(error),
            Some(_) | None => Ok(settled),
        }
    }

    /// What is new; where several engines share the database, what no other one works on.
    async fn next_deliveries(&self) -> Result<Vec<DeliveryRow>, Error> {
        if !self.store().is_shared() || self.store().new_deliveries(1).await?.is_empty() {
            return Ok(self.store().new_deliveries(BATCH).await?);
        }
        let engine = self.parts().engine.id().await?;
        Ok(self.store().take_deliveries(&engine, TAKEN).await?.unwrap_or_default())
    }

    async fn settle(&self, delivery: &DeliveryRow) -> Result<(), Error> {
        loop {
            let worked = match self.work_on(delivery).await {
                Ok(result) => result,
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => Worked::new(DeliveryState::Failed, error.to_string()),
            };
            let note: String = worked.note.chars().take(MAX_NOTE).collect();
            let Some(held) = worked.held else {
                return Ok(self.store().settle_delivery(delivery, worked.state, &note).await?);
            };
            let (commit, now) = ((&*held.repo, &*held.sha), self.parts().clock.now());
            let note = (&*note, held.knew);
            if self.store().settle_held(delivery, commit, note, now).await? {
                return Ok(());
            }
            // Somebody has let the commit run meanwhile: now it is known.
        }
    }

    async fn work_on(&self, delivery: &DeliveryRow) -> Result<Worked, Error> {
        let ignored = |why: String| Ok(Worked::new(DeliveryState::Ignored, why));
        let Some(repo) = self.store().repo_by_hook(&delivery.hook).await? else {
            return ignored("the repository is no longer watched".to_owned());
        };
        if is_heard(&delivery.forge) {
            let (state, note) = Box::pin(self.follow(delivery, &repo)).await?;
            return Ok(Worked::new(state, note));
        }
        let occasion = match occasion::read(delivery, &repo) {
            Ok(occasion) => occasion,
            Err(why) => return ignored(why),
        };
        if occasion.deleted {
            return ignored("the ref is gone".to_owned());
        }
        let mirror = match self.fetched(&repo, &occasion.refs).await {
            // Asked for for ever, the refs of pull requests that are gone would hold back all others.
            Err(Error::Git(error)) if error.is_missing_ref() && self.is_settled(delivery) => {
                self.fetched(&repo, &[]).await?
            }
            fetched => fetched?,
        };
        let Some(commit) = self.commit_of(&mirror, &repo, &occasion).await? else {
            return ignored("the commit is not in the repository any more".to_owned());
        };
        self.complete(&repo, &mirror, &commit).await?;
        let reacted = self.react(delivery, &repo, &occasion, (&mirror, &commit)).await?;
        let held = reacted.held.map(|knew| Held {
            repo: repo.name.clone(),
            sha: commit.as_str().to_owned(),
            knew,
        });
        Ok(Worked { held, ..Worked::new(DeliveryState::Done, reacted.lines.join("\n")) })
    }

    /// Whether the forge has had the time to show everywhere what it told us of.
    fn is_settled(&self, delivery: &DeliveryRow) -> bool {
        self.parts().clock.now().duration_since(delivery.received_at) >= SHOWN_WITHIN
    }

    /// The commit whose workflow files count: the event's, else the head of the default branch.
    async fn commit_of(
        &self,
        mirror: &Mirror,
        repo: &RepoRow,
        occasion: &Occasion,
    ) -> Result<Option<CommitId>, Error> {
        match &occasion.event.sha {
            Some(sha) => {
                let id = CommitId::new(sha)?;
                Ok(mirror.has(&id).await?.then_some(id))
            }
            None => Ok(mirror.resolve(&format!("refs/heads/{}", repo.default_branch)).await?),
        }
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
