//! Child runs: the plan first, then the fact in the parent's journal, then the run itself. So a crash
//! at any point leaves either no child or one that the parent knows.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use plue_flow::{Child, Fact, Input, fact::Outcome};
use plue_plan::{AttemptId, HashedPlan, Plan, RunId, StepId, context::Reader};
use plue_runtime::{Phase, Stop};
use plue_store::CancelRequest;
use serde_json::Value as Json;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    child_places::{ChildPlace, FamilyPlaces},
    claude::spending::Limit,
    driver::{Driver, Inputs, RunHandle},
    engine::{Engine, Shared},
    error::Error,
    loaded::{Loaded, Origin},
    perform::{
        child::{self, Parent, RunBudget},
        environment::SecretSource,
        scope::{Seen, within_budget},
    },
    right::{Right, give_back_later},
    submit::Submission,
};

/// Why a stranger's run has no children.
const NOT_FOR_STRANGERS: &str =
    "a change from a fork starts no other workflows: they would be planned outside its walls";

/// What a child run is made with beside its plan.
struct Nursery {
    shared: Arc<Shared>,
    origin: Origin,
    event: Json,
    secrets: Arc<dyn SecretSource>,
    stop: Stop,
    family: FamilyPlaces,
    repo: Option<String>,
    /// The step is to stop.
    stopped: watch::Receiver<Option<CancelRequest>>,
    /// Visit and number of the attempt.
    turn: (u32, u32),
}

/// Result of waiting for a child run's place.
enum Begins {
    InPlace(ChildPlace),
    /// It only ends, and needs no place for that.
    ToEnd,
    /// It was stopped before it was stored.
    Never,
}

// === impl Driver: children ===

impl Driver {
    /// Settles the plan of a child, or follows the child that the journal has.
    pub(super) fn child(
        &mut self,
        step: &StepId,
        attempt: &AttemptId,
        (visit, number): (u32, u32),
    ) -> Result<JoinHandle<()>, String> {
        let definition = self.plan.step(step).ok_or("no such step")?;
        let (sender, attempt) = (self.work.sender.clone(), attempt.clone());
        if let Some(child) = self.run.child(&attempt).cloned() {
            let (stops, stopped) = watch::channel(None);
            let nursery = self.nursery(step, (visit, number), stopped);
            self.work.stops.insert(attempt.clone(), stops);
            let followed = async move {
                if let Some((outcome, output)) = nursery.follow(child).await {
                    let ended = Input::Ended { attempt, outcome, output };
                    let _nobody_listens = sender.send(ended).await;
                }
            };
            return Ok(self.shared.tasks.spawn("child run", followed));
        }
        // The files of its workspace are a stranger's, and git would read them on this machine.
        if self.origin.is_strangers(&self.event) {
            return Err(NOT_FOR_STRANGERS.to_owned());
        }
        let wanted = within_budget(|meter| {
            let seen = Seen::of(&self.run, Reader::Step(&definition.id));
            let scope = seen.scope(&self.surroundings, (visit, number), meter);
            child::wanted(definition, &scope, (&self.origin, &self.event), &self.plan.name)
        })?;
        let workflows = self.shared.options.workflows.clone();
        let (shared, source) = (self.shared.clone(), self.source.clone());
        let settled = async move {
            let input = match child::settled(wanted, workflows, source).await {
                Ok((planned, inputs)) => match shared.store.put_plan(&planned.plan).await {
                    Ok(_) => Input::Child {
                        attempt,
                        child: Child {
                            run: shared.ids.run(),
                            plan: planned.plan.hash,
                            source: planned.source,
                            inputs: Json::Object(inputs),
                        },
                    },
                    Err(error) => {
                        let outcome = Outcome::Infra { message: error.to_string() };
                        Input::Ended { attempt, outcome, output: Json::Null }
                    }
                },
                Err(message) => super::refused(&attempt, message),
            };
            let _nobody_listens = sender.send(input).await;
        };
        Ok(self.shared.tasks.spawn("child plan", settled))
    }

    fn nursery(
        &self,
        step: &StepId,
        (visit, number): (u32, u32),
        stopped: watch::Receiver<Option<CancelRequest>>,
    ) -> Nursery {
        let workflows = child::lineage(&self.origin, &self.plan.name);
        let above = self.origin.parent.as_ref().map(|parent| parent.groups.clone());
        let own = self.group().ok().flatten();
        let of =
            |limit: Option<u64>| limit.map(|limit| RunBudget { run: self.row.id.clone(), limit });
        let limit = Limit::of(self.plan.budget.as_ref());
        let (mut budgets, mut token_budgets) = match &self.origin.parent {
            Some(parent) => (parent.budgets.clone(), parent.token_budgets.clone()),
            None => (Vec::new(), Vec::new()),
        };
        budgets.extend(of(limit.usd.map(|usd| usd.0)));
        token_budgets.extend(of(limit.tokens));
        let parent = Parent {
            run: self.row.id.clone(),
            step: step.clone(),
            depth: u32::try_from(workflows.len()).unwrap_or(u32::MAX),
            workflows,
            groups: above.into_iter().flatten().chain(own).collect(),
            budgets,
            token_budgets,
        };
        let origin = Origin {
            parent: Some(parent),
            read_set: Json::Null,
            traceparent: self.traceparent(step, visit, number),
            ..self.origin.clone()
        };
        Nursery {
            shared: self.shared.clone(),
            origin,
            event: self.surroundings.event.clone(),
            secrets: self.secrets.clone(),
            stop: self.stop.clone(),
            family: self.family.clone(),
            repo: self.row.repo.clone(),
            stopped,
            turn: (visit, number),
        }
    }
}

// === impl Nursery ===

impl Nursery {
    /// Advances a child to its end. `None`: this engine stops; whoever takes the parent up goes on.
    async fn follow(&self, child: Child) -> Option<(Outcome, Json)> {
        let mut place = None;
        loop {
            match self.advance(&child, &mut place).await {
                Ok(Some(outcome)) => return Some(outcome),
                Ok(None) if self.stop.phase() >= Phase::Aborting => return None,
                // Somebody else advances it, or left it half-way.
                Ok(None) => self.shared.clock.sleep(self.shared.options.control_poll).await,
                Err(error) => {
                    let message = format!("child run {}: {error}", child.run);
                    return Some((Outcome::Infra { message }, Json::Null));
                }
            }
        }
    }

    /// `held`: the place that the child keeps while another engine drives it. Given to a sibling meanwhile,
    /// it would let one run more than the bounds allow.
    async fn advance(
        &self,
        child: &Child,
        held: &mut Option<ChildPlace>,
    ) -> Result<Option<(Outcome, Json)>, Error> {
        if held.is_none() {
            match self.begins(child).await? {
                Begins::InPlace(place) => *held = Some(place),
                Begins::ToEnd => {}
                Begins::Never => return Ok(Some((Outcome::Cancelled, Json::Null))),
            }
        }
        let right = self.right(child).await?;
        if let Some(place) = held {
            place.is_stored();
        }
        if right.is_some() {
            let (secrets, stop) = (self.secrets.clone(), self.stop.clone());
            let inputs = Inputs { place: held.take(), right, ..Inputs::new(secrets, stop) };
            let handle = start(self.shared.clone(), child.run.clone(), inputs).await?;
            handle.wait().await?;
        }
        let loaded = Loaded::read(&self.shared.store, &child.run).await?;
        Ok(loaded.run.is_finished().then(|| child::outcome(&loaded)))
    }

    /// The right to drive the child, which is stored then. `None`: another engine has it.
    async fn right(&self, child: &Child) -> Result<Option<Arc<Right>>, Error> {
        let shared = &self.shared;
        if shared.store.run(&child.run).await?.is_some() {
            return match Right::take(shared, &child.run).await {
                Ok(right) => Ok(Some(Arc::new(right))),
                Err(Error::Busy { .. }) => Ok(None),
                Err(error) => Err(error),
            };
        }
        let right = Arc::new(Right::of_new(shared, &child.run).await?);
        if let Err(error) = self.create(child, &right).await {
            // The database may have stored it nevertheless.
            give_back_later(right, shared, self.stop.clone());
            return Err(error);
        }
        Ok(Some(right))
    }

    /// Waits for a place, unless the step is stopped.
    async fn begins(&self, child: &Child) -> Result<Begins, Error> {
        let mut stopped = self.stopped.clone();
        let stopped = async move { stopped.wait_for(Option::is_some).await.is_ok() };
        tokio::select! {
            biased;
            _ = stopped => {
                let is_stored = self.shared.store.run(&child.run).await?.is_some();
                Ok(if is_stored { Begins::ToEnd } else { Begins::Never })
            }
            place = self.shared.child_place(&self.family, &child.run, self.repo.as_deref()) => {
                place.map(Begins::InPlace)
            }
        }
    }

    /// Of a replay: the child that the recorded run started in the same attempt. If it started none, the
    /// recorded run itself, which answers nothing that this child asks.
    async fn recorded(&self) -> Result<Option<RunId>, Error> {
        let (Some(above), Some(parent)) = (&self.origin.replay, &self.origin.parent) else {
            return Ok(None);
        };
        let (visit, number) = self.turn;
        let same = AttemptId::new(format!("{above}:{}:{visit}:{number}", parent.step));
        let journal = self.shared.store.load_run(above).await?.map(|stored| stored.journal);
        let child = journal.into_iter().flatten().find_map(|(_, fact)| match fact {
            Fact::ChildStarted { attempt, child, .. } if attempt == same => Some(child.run),
            _ => None,
        });
        Ok(child.or_else(|| Some(above.clone())))
    }

    async fn create(&self, child: &Child, right: &Right) -> Result<(), Error> {
        let run = child.run.clone();
        let corrupt = |message: String| Error::Corrupt { run: run.clone(), message };
        let bytes = self.shared.store.plan(&child.plan).await?;
        let missing = || Error::MissingPlan { run: run.clone(), plan: child.plan };
        let plan = Plan::from_json(&bytes.ok_or_else(missing)?)
            .map_err(|error| corrupt(error.to_string()))?;
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
        Engine(self.shared.clone()).submit_driven(run, submission, right).await?;
        let stopped = self.stopped.borrow().clone();
        if let Some(request) = stopped {
            let now = self.shared.clock.now();
            self.shared.store.request_cancel(&child.run, request, now).await?;
        }
        Ok(())
    }
}

/// A driver starts drivers; boxed, so that its type does not hold itself.
fn start(
    shared: Arc<Shared>,
    run: RunId,
    inputs: Inputs,
) -> Pin<Box<dyn Future<Output = Result<RunHandle, Error>> + Send>> {
    Box::pin(async move { Driver::start(shared, &run, inputs).await })
}
