//! Child runs: the plan first, then the fact in the parent's journal, then the run itself. A crash at any
//! point leaves either no child or one that the parent knows.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use plue_flow::{Child, Fact, Input, Run, fact::Outcome};
use plue_plan::{AttemptId, HashedPlan, RunId, StepId};
use plue_runtime::{Phase, Stop};
use plue_store::CancelRequest;
use serde_json::Value as Json;
use tokio::sync::watch;

use crate::{
    child_slots::{ChildSlot, SiblingSlots},
    claude::spending::Limit,
    driver::{Driver, DriverOptions, RunHandle, concurrency::GroupRequest, context::RunContext},
    driver_lease::{DriverLease, release_later},
    engine::{Engine, Shared},
    error::Error,
    loaded::{Loaded, Origin},
    perform::{
        child::{self, Parent, RunBudget},
        environment::SecretSource,
        scope::AttemptNumber,
    },
    submit::Submission,
};

/// The reason that runs of forks have no children.
pub(super) const NOT_FOR_FORKS: &str =
    "a change from a fork starts no other workflows: they would be planned outside its sandbox";

/// A child run that a task of its parent's driver creates, drives and follows.
pub(super) struct ChildRun {
    shared: Arc<Shared>,
    origin: Origin,
    event: Json,
    secrets: Arc<dyn SecretSource>,
    stop: Stop,
    slots: SiblingSlots,
    repo: Option<String>,
    /// The request to stop the step.
    stopped: watch::Receiver<Option<CancelRequest>>,
    /// The attempt of the step in the parent.
    at: AttemptNumber,
    recorded: Recorded,
}

/// The run that a replay takes the answers of a child from.
pub(super) enum Recorded {
    /// The child of the same attempt in the recorded run.
    OfStep,
    /// The child of the same call, if it had one.
    Known(Option<RunId>),
}

/// The result of waiting for a child run's slot.
enum Admission {
    Slot(ChildSlot),
    /// A stored child that was stopped: it ends without a slot.
    ToEnd,
    /// It was stopped before it was stored.
    Never,
}

/// The plan of a child run; resolves to the input of its attempt.
///
/// # Errors
/// A text for the author of the step.
pub(super) fn plan(
    context: &RunContext,
    run: &Run,
    step: &StepId,
    at: AttemptNumber,
    attempt: AttemptId,
) -> Result<impl Future<Output = Input> + Send + use<>, String> {
    let definition = context.step(step).ok_or("no such step")?;
    // git would read the untrusted files of the workspace on this machine, outside of any isolation.
    if context.is_from_fork() {
        return Err(NOT_FOR_FORKS.to_owned());
    }
    let source = context.evaluate(run, step, at, |scope| {
        let (origin, event) = (&context.origin, &context.event);
        child::child_source(definition, scope, (origin, event), &context.plan.name)
    })?;
    let workflows = context.shared.options.workflows.clone();
    let (shared, path) = (context.shared.clone(), context.source.clone());
    Ok(async move {
        let (planned, inputs) = match child::plan_child(source, workflows, path).await {
            Ok(planned) => planned,
            Err(message) => return super::refused(&attempt, message),
        };
        if let Err(error) = shared.store.plans().put(&planned.plan).await {
            let outcome = Outcome::Infra { message: error.to_string() };
            return Input::Ended { attempt, outcome, output: Json::Null };
        }
        let (plan, inputs) = (planned.plan.hash, Json::Object(inputs));
        let child = Child { run: shared.ids.run(), plan, source: planned.source, inputs };
        Input::Child { attempt, child }
    })
}

// === impl ChildRun ===

impl ChildRun {
    /// `stopped` has the request to stop the step.
    pub(super) fn new(
        context: &RunContext,
        run: &Run,
        slots: &SiblingSlots,
        step: &StepId,
        at: AttemptNumber,
        stopped: watch::Receiver<Option<CancelRequest>>,
    ) -> Self {
        Self::below(context, parent(context, run, step), slots, at, stopped)
    }

    /// A child with this link to the run above it.
    pub(super) fn below(
        context: &RunContext,
        parent: Parent,
        slots: &SiblingSlots,
        at: AttemptNumber,
        stopped: watch::Receiver<Option<CancelRequest>>,
    ) -> Self {
        let traceparent = context.traceparent(&parent.step, at);
        let origin = Origin {
            parent: Some(parent),
            read_set: Json::Null,
            traceparent,
            ..context.origin.clone()
        };
        Self {
            shared: context.shared.clone(),
            origin,
            event: context.inputs.event.clone(),
            secrets: context.secrets.clone(),
            stop: context.stop.clone(),
            slots: slots.clone(),
            repo: context.row.repo.clone(),
            stopped,
            at,
            recorded: Recorded::OfStep,
        }
    }

    pub(super) fn recorded_as(mut self, recorded: Recorded) -> Self {
        self.recorded = recorded;
        self
    }

    /// Drives a child to its end. `None`: this engine stops; the next driver of the parent goes on.
    pub(super) async fn follow(&self, child: Child) -> Option<(Outcome, Json)> {
        let mut slot = None;
        loop {
            match self.advance(&child, &mut slot).await {
                Ok(Some(outcome)) => return Some(outcome),
                Ok(None) if self.stop.phase() >= Phase::Aborting => return None,
                // Another engine drives it, or stopped half-way.
                Ok(None) => self.shared.clock.sleep(self.shared.options.driving.control_poll).await,
                Err(error) => {
                    let message = format!("child run {}: {error}", child.run);
                    return Some((Outcome::Infra { message }, Json::Null));
                }
            }
        }
    }

    /// `slot`: kept while another engine drives the child; a sibling in it would exceed the limits.
    async fn advance(
        &self,
        child: &Child,
        slot: &mut Option<ChildSlot>,
    ) -> Result<Option<(Outcome, Json)>, Error> {
        if slot.is_none() {
            match self.admitted(child).await? {
                Admission::Slot(admitted) => *slot = Some(admitted),
                Admission::ToEnd => {}
                Admission::Never => return Ok(Some((Outcome::Cancelled, Json::Null))),
            }
        }
        let lease = self.lease(child).await?;
        if let Some(slot) = slot {
            slot.child_is_stored();
        }
        if lease.is_some() {
            let (secrets, stop) = (self.secrets.clone(), self.stop.clone());
            let new = DriverOptions::new(secrets, stop);
            let options = DriverOptions { slot: slot.take(), lease, ..new };
            let handle = start(self.shared.clone(), child.run.clone(), options).await?;
            handle.wait().await?;
        }
        let loaded = Loaded::read(&self.shared.store, &child.run).await?;
        Ok(loaded.run.is_finished().then(|| child::outcome(&loaded)))
    }

    /// The lease of the child, which is stored then. `None`: another engine has it.
    async fn lease(&self, child: &Child) -> Result<Option<Arc<DriverLease>>, Error> {
        let shared = &self.shared;
        if shared.store.runs().get(&child.run).await?.is_some() {
            return match DriverLease::take(shared, &child.run).await {
                Ok(lease) => Ok(Some(Arc::new(lease))),
                Err(Error::Busy { .. }) => Ok(None),
                Err(error) => Err(error),
            };
        }
        let lease = Arc::new(DriverLease::for_new_run(shared, &child.run).await?);
        if let Err(error) = self.create(child, &lease).await {
            // The database may have stored it nevertheless.
            release_later(lease, shared, self.stop.clone());
            return Err(error);
        }
        Ok(Some(lease))
    }

    /// Waits for a slot, unless the step is stopped.
    async fn admitted(&self, child: &Child) -> Result<Admission, Error> {
        let mut stopped = self.stopped.clone();
        let stopped = async move { stopped.wait_for(Option::is_some).await.is_ok() };
        tokio::select! {
            biased;
            _ = stopped => {
                let is_stored = self.shared.store.runs().get(&child.run).await?.is_some();
                Ok(if is_stored { Admission::ToEnd } else { Admission::Never })
            }
            slot = self.shared.child_slot(&self.slots, &child.run, self.repo.as_deref()) => {
                slot.map(Admission::Slot)
            }
        }
    }

    /// In a replay, the child that the recorded run started in the same attempt. Otherwise the recorded run
    /// itself, which has no answers for this child.
    async fn recorded(&self) -> Result<Option<RunId>, Error> {
        let (Some(above), Some(parent)) = (&self.origin.replay, &self.origin.parent) else {
            return Ok(None);
        };
        if let Recorded::Known(child) = &self.recorded {
            return Ok(child.clone().or_else(|| Some(above.clone())));
        }
        let AttemptNumber { visit, number } = self.at;
        let same = AttemptId::new(format!("{above}:{}:{visit}:{number}", parent.step));
        let journal = self.shared.store.runs().load(above).await?.map(|stored| stored.journal);
        let child = journal.into_iter().flatten().find_map(|(_, fact)| match fact {
            Fact::ChildStarted { attempt, child, .. } if attempt == same => Some(child.run),
            _ => None,
        });
        Ok(child.or_else(|| Some(above.clone())))
    }

    async fn create(&self, child: &Child, lease: &DriverLease) -> Result<(), Error> {
        let run = child.run.clone();
        let corrupt = |message: String| Error::Corrupt { run: run.clone(), message };
        let plan = self.shared.store.plans().parsed(&child.plan).await?;
        let missing = || Error::MissingPlan { run: run.clone(), plan: child.plan };
        let plan = plan.ok_or_else(missing)?;
        let plan = HashedPlan::new(plan).map_err(|problem| corrupt(problem.message))?;
        let event = serde_json::from_value(self.event.clone());
        let inputs: Result<BTreeMap<String, Json>, _> =
            serde_json::from_value(child.inputs.clone());
        let submission = Submission {
            plan,
            source: child.source.clone(),
            event: event.map_err(|error| corrupt(error.to_string()))?,
            inputs: inputs.map_err(|error| corrupt(error.to_string()))?,
            origin: Origin { replay: self.recorded().await?, ..self.origin.clone() },
            only: Vec::new(),
            carried: Vec::new(),
        };
        Engine(self.shared.clone()).submit_driven(run, submission, lease).await?;
        let stopped = self.stopped.borrow().clone();
        if let Some(request) = stopped {
            let now = self.shared.clock.now();
            self.shared.store.cancels().request(&child.run, request, now).await?;
        }
        Ok(())
    }
}

/// A driver starts drivers; boxed, so that its type does not hold itself.
fn start(
    shared: Arc<Shared>,
    run: RunId,
    options: DriverOptions,
) -> Pin<Box<dyn Future<Output = Result<RunHandle, Error>> + Send>> {
    Box::pin(async move { Driver::start(shared, &run, options).await })
}

/// The link of a child to this run.
pub(super) fn parent(context: &RunContext, run: &Run, step: &StepId) -> Parent {
    let workflows = child::lineage(&context.origin, &context.plan.name);
    let above = context.origin.parent.as_ref();
    let group = GroupRequest {
        run,
        inputs: &context.inputs,
        event: &context.event,
        origin: &context.origin,
    };
    let own = if run.is_finished() { None } else { group.group().ok().flatten() };
    let of = |limit: Option<u64>| {
        limit.map(|limit| RunBudget { run: context.row.id.clone(), limit, of: None })
    };
    let limit = Limit::of(context.plan.budget.as_ref());
    let (mut budgets, mut token_budgets) = match above {
        Some(parent) => (parent.budgets.clone(), parent.token_budgets.clone()),
        None => (Vec::new(), Vec::new()),
    };
    budgets.extend(of(limit.usd.map(|usd| usd.0)));
    token_budgets.extend(of(limit.tokens));
    let groups = above.map(|parent| parent.groups.clone());
    Parent {
        run: context.row.id.clone(),
        step: step.clone(),
        depth: u32::try_from(workflows.len()).unwrap_or(u32::MAX),
        workflows,
        groups: groups.into_iter().flatten().chain(own).collect(),
        budgets,
        token_budgets,
    }
}
