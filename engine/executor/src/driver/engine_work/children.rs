//! Child runs: the plan first, then the fact in the parent's journal, then the run itself. So a crash
//! at any point leaves either no child or one that the parent knows.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use plue_flow::{Child, Input, fact::Outcome};
use plue_plan::{AttemptId, Plan, RunId, SealedPlan, StepId};
use plue_runtime::{Phase, Stop};
use serde_json::Value as Json;
use tokio::task::JoinHandle;

use crate::{
    driver::{Driver, Inputs, RunHandle},
    engine::{Engine, Shared},
    error::Error,
    loaded::{Loaded, Origin},
    perform::{
        child::{self, Parent},
        environment::SecretSource,
        scope::Seen,
    },
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
}

// === impl Driver: children ===

impl Driver {
    /// Settles the plan of a child, or follows the child that the journal has.
    pub(super) fn child(
        &self,
        step: &StepId,
        attempt: &AttemptId,
        (visit, number): (u32, u32),
    ) -> Result<JoinHandle<()>, String> {
        let definition = self.plan.step(step).ok_or("no such step")?;
        let (sender, attempt) = (self.work.sender.clone(), attempt.clone());
        if let Some(child) = self.run.child(&attempt).cloned() {
            let nursery = self.nursery(step, (visit, number));
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
        let seen = Seen::of(&self.run);
        let scope = seen.scope(&self.surroundings, visit, number);
        let wanted =
            child::wanted(definition, &scope, (&self.origin, &self.event), &self.plan.name)?;
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

    fn nursery(&self, step: &StepId, (visit, number): (u32, u32)) -> Nursery {
        let workflows = child::lineage(&self.origin, &self.plan.name);
        let above = self.origin.parent.as_ref().map(|parent| parent.groups.clone());
        let own = self.group().ok().flatten();
        let parent = Parent {
            run: self.row.id.clone(),
            step: step.clone(),
            depth: u32::try_from(workflows.len()).unwrap_or(u32::MAX),
            workflows,
            groups: above.into_iter().flatten().chain(own).collect(),
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
        }
    }
}

// === impl Nursery ===

impl Nursery {
    /// Advances a child to its end. `None`: this engine stops; whoever takes the parent up goes on.
    async fn follow(&self, child: Child) -> Option<(Outcome, Json)> {
        loop {
            match self.advance(&child).await {
                Ok(Some(loaded)) => return Some(child::outcome(&loaded)),
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

    async fn advance(&self, child: &Child) -> Result<Option<Loaded>, Error> {
        let store = &self.shared.store;
        if store.run(&child.run).await?.is_none() {
            self.create(child).await?;
        }
        let (secrets, stop) = (self.secrets.clone(), self.stop.clone());
        let inputs = Inputs { first: None, secrets, stop, leave: false, right: None };
        match start(self.shared.clone(), child.run.clone(), inputs).await {
            Ok(handle) => drop(handle.wait().await?),
            Err(Error::Busy { .. }) => {}
            Err(error) => return Err(error),
        }
        let loaded = Loaded::read(store, &child.run).await?;
        Ok(loaded.run.is_finished().then_some(loaded))
    }

    async fn create(&self, child: &Child) -> Result<(), Error> {
        let run = child.run.clone();
        let corrupt = |message: String| Error::Corrupt { run: run.clone(), message };
        let bytes = self.shared.store.plan(&child.plan).await?;
        let missing = || Error::MissingPlan { run: run.clone(), plan: child.plan };
        let plan = Plan::from_json(&bytes.ok_or_else(missing)?)
            .map_err(|error| corrupt(error.to_string()))?;
        let plan = SealedPlan::seal(plan).map_err(|problem| corrupt(problem.message))?;
        let event = serde_json::from_value(self.event.clone());
        let inputs: Result<BTreeMap<String, Json>, _> =
            serde_json::from_value(child.inputs.clone());
        let submission = Submission {
            plan,
            source: child.source.clone(),
            event: event.map_err(|error| corrupt(error.to_string()))?,
            inputs: inputs.map_err(|error| corrupt(error.to_string()))?,
            origin: self.origin.clone(),
            only: Vec::new(),
        };
        Engine(self.shared.clone()).submit_as(run.clone(), submission).await.map(drop)
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
