//! From a stored delivery to a submitted run. A webhook has six forms on its way, in one direction:
//! `Delivery → Event → TriggerMatch → Submission → Run → Driver`.
//!
//! Reading order: `receive` and `named_webhooks` store deliveries, `queue` claims them, this file
//! decides which of the three kinds a delivery is (of a forge, internal, a tick of a schedule),
//! `trigger_context` decodes the event, `identity` and `provenance` verify repository and commit,
//! `dispatch` matches plans and submits runs. Settling a delivery comes last: interrupted work is repeated,
//! and run ids are reserved by their cause, so that nothing is submitted twice.

mod base_plans;
mod dispatch;
mod dispatch_log;
mod gate;
mod identity;
pub(crate) mod internal_events;
mod named_webhooks;
mod provenance;
mod queue;
pub mod receive;
mod scheduled;
mod trigger_context;

use plue_executor::Engine;
use plue_store::{
    DeliveryState, RepoRow, Store,
    delivery::{ClaimedDelivery, Settlement},
};

use crate::{
    error::Error,
    host::schedules::SCHEDULE,
    intake::{
        dispatch::{Dispatcher, Target},
        identity::{Identity, Owner},
        internal_events::{InternalEvents, is_internal},
        provenance::{Provenance, ProvenanceCheck},
    },
    permission::TriggerPolicy,
    process::Process,
    services::Services,
};

/// Characters of a delivery's note.
const MAX_NOTE: usize = 4_000;

/// Settings of the intake.
#[derive(Debug, Clone)]
pub(crate) struct IntakeOptions {
    /// Policy on events that start runs.
    pub(crate) triggers: TriggerPolicy,
}

/// Turns deliveries into submitted runs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Intake {
    store: Store,
    engine: Engine,
    process: Process,
    identity: Identity,
    provenance: ProvenanceCheck,
    dispatcher: Dispatcher,
    internal: InternalEvents,
}

/// The result of work on a delivery.
struct Outcome {
    settlement: Settlement,
    /// The commit whose plans await approval, if there are any.
    awaiting: Option<AwaitingApproval>,
}

/// A commit with plans that await the approval of a maintainer.
struct AwaitingApproval {
    repo: String,
    sha: String,
    /// Whether the dispatch took an approval into account.
    was_allowed: bool,
}

// === impl Outcome ===

impl Outcome {
    fn new(state: DeliveryState, note: String) -> Self {
        Self::from(Settlement::new(state, note))
    }
}

impl From<Settlement> for Outcome {
    fn from(settlement: Settlement) -> Self {
        Self { settlement, awaiting: None }
    }
}

// === impl Intake ===

impl Intake {
    pub(crate) fn new(options: IntakeOptions, services: &Services) -> Self {
        Self {
            store: services.store.clone(),
            engine: services.engine.clone(),
            process: services.process.clone(),
            identity: Identity::new(services),
            provenance: ProvenanceCheck::new(services),
            dispatcher: Dispatcher::new(options.triggers, services),
            internal: InternalEvents::new(services),
        }
    }

    /// Works on a delivery and settles it.
    ///
    /// # Errors
    /// A transient failure: the delivery stays unsettled.
    async fn settle(&self, claimed: &ClaimedDelivery) -> Result<(), Error> {
        loop {
            let mut outcome = match self.work_on(claimed).await {
                Ok(Some(outcome)) => outcome,
                Ok(None) => return Ok(self.store.delivery_queues().release(claimed).await?),
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => Outcome::new(DeliveryState::Failed, error.to_string()),
            };
            let settlement = &mut outcome.settlement;
            settlement.note = settlement.note.chars().take(MAX_NOTE).collect();
            let Some(awaiting) = outcome.awaiting else {
                return Ok(self.store.deliveries().settle(claimed, settlement).await?);
            };
            let commit = (&*awaiting.repo, &*awaiting.sha);
            let (result, now) = ((&*settlement, awaiting.was_allowed), self.process.clock.now());
            if self.store.untrusted().settle_held(claimed, commit, result, now).await? {
                return Ok(());
            }
            // A maintainer has approved the commit meanwhile: the next round sees the approval.
        }
    }

    /// Works on a delivery by its kind; `None`: it was moved to the queue of another repository.
    async fn work_on(&self, claimed: &ClaimedDelivery) -> Result<Option<Outcome>, Error> {
        let delivery = &claimed.row;
        let Some(repo) = self.store.repos().by_hook(&delivery.hook).await? else {
            return ignored("the repository is no longer watched".to_owned());
        };
        let settlement = match delivery.forge.as_str() {
            SCHEDULE => Box::pin(self.internal.dispatch_tick(delivery, &repo)).await?,
            kind if is_internal(kind) => Box::pin(self.internal.dispatch(delivery, &repo)).await?,
            _ => return self.work_on_event(claimed, repo).await,
        };
        Ok(Some(settlement.into()))
    }

    /// Works on a delivery of a forge.
    async fn work_on_event(
        &self,
        claimed: &ClaimedDelivery,
        repo: RepoRow,
    ) -> Result<Option<Outcome>, Error> {
        let delivery = &claimed.row;
        let decoded = match trigger_context::decode(delivery) {
            Ok(decoded) => decoded,
            Err(why) => return ignored(why),
        };
        let (repo, remark) =
            match self.identity.owner(claimed, repo, decoded.claim.as_ref()).await? {
                Owner::Watched(repo, remark) => (repo, remark),
                Owner::Routed => return Ok(None),
                Owner::Refused(why) => return ignored(why),
            };
        let context = match decoded.context(&repo) {
            Ok(context) => context,
            Err(why) => return ignored(why),
        };
        if context.deleted {
            return ignored("the ref is gone".to_owned());
        }
        let (mirror, commit) = match self.provenance.verify(delivery, &repo, &context).await? {
            Provenance::Verified(mirror, commit) => (mirror, commit),
            Provenance::Refused(why) => return ignored(why),
        };
        let target =
            Target { delivery, repo: &repo, context: &context, mirror: &mirror, commit: &commit };
        let dispatched = self.dispatcher.dispatch(target).await?;
        let awaiting = dispatched.awaiting_approval.then(|| AwaitingApproval {
            repo: repo.name.clone(),
            sha: commit.as_str().to_owned(),
            was_allowed: dispatched.was_allowed,
        });
        // A delivery refused for its actor is processed again if the forge redelivers it.
        let state =
            if dispatched.is_refused { DeliveryState::Ignored } else { DeliveryState::Done };
        let mut settlement = dispatched.log.settlement(state, context.event.kind);
        if let Some(remark) = remark {
            settlement.note = format!("{remark}\n{}", settlement.note);
        }
        Ok(Some(Outcome { settlement, awaiting }))
    }
}

fn ignored(why: String) -> Result<Option<Outcome>, Error> {
    Ok(Some(Outcome::new(DeliveryState::Ignored, why)))
}
