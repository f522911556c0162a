//! Making a run: the plan is stored, the run is pinned to it, and nothing has started yet.

use std::{collections::BTreeMap, sync::Arc};

use plue_flow::{Run, fact::Carried};
use plue_plan::{Event, RunId, StepId, canonical::HashedPlan};
use plue_store::{Drive, NewRun, RunCommit};
use serde_json::Value as Json;

use crate::{
    driver::Asked, engine::Engine, error::Error, loaded::Origin, perform::scope::Surroundings,
    right::Right,
};

/// A run to be made.
#[derive(Debug)]
pub struct Submission {
    /// The plan, valid and sealed.
    pub plan: HashedPlan,
    /// Path of the workflow file, relative to the repository.
    pub source: String,
    /// What it reacts to.
    pub event: Event,
    /// Typed inputs, defaults filled in.
    pub inputs: BTreeMap<String, Json>,
    /// Where its steps run and how its plan came about.
    pub origin: Origin,
    /// Only these steps; empty: all.
    pub only: Vec<StepId>,
    /// Outputs of an earlier run that steps outside of `only` have.
    pub carried: Vec<Carried>,
}

// === impl Engine: submitting ===

impl Engine {
    /// Stores a run. [`Engine::drive`] starts it.
    ///
    /// # Errors
    /// The database refuses, or the event or inputs cannot be written as JSON.
    pub async fn submit(&self, submission: Submission) -> Result<RunId, Error> {
        self.submit_as(self.0.ids.run(), submission).await
    }

    /// Stores a run under an id that its cause has: whoever asks twice asks for the same run.
    ///
    /// # Errors
    /// As [`Engine::submit`]; also if there is a run of this id.
    pub async fn submit_as(&self, id: RunId, submission: Submission) -> Result<RunId, Error> {
        self.stored(id, submission, None).await
    }

    /// Stores a run that this engine drives at once: no other takes it in between.
    ///
    /// # Errors
    /// As [`Engine::submit_as`]; the right is lost then.
    pub(crate) async fn submit_driven(
        &self,
        id: RunId,
        submission: Submission,
        right: &Right,
    ) -> Result<RunId, Error> {
        self.stored(id, submission, right.drive()).await
    }

    async fn stored(
        &self,
        id: RunId,
        submission: Submission,
        drive: Option<&Drive>,
    ) -> Result<RunId, Error> {
        let shared = &self.0;
        let mut submission = submission;
        let fork = submission.origin.fork(&submission.event);
        submission.origin.max_duration_s = fork.map(|_| shared.options.untrusted_timeout.as_secs());
        let corrupt = |message: String| Error::Corrupt { run: id.clone(), message };
        let json =
            |value: serde_json::Result<Json>| value.map_err(|error| corrupt(error.to_string()));
        let (workflow, hash) = (submission.plan.plan.name.clone(), submission.plan.hash);
        shared.store.put_plan(&submission.plan).await?;
        let now = shared.clock.now();
        let mut run = Run::new(id.clone(), Arc::new(submission.plan.plan));
        let created = run.create(hash, submission.only, submission.carried);
        run.evolve(now, &created).map_err(|error| corrupt(error.to_string()))?;
        let mut first = RunCommit::new(id.clone(), 0, now, run.view());
        first.facts.push(created);
        first.steps = run.step_views().collect();
        let surroundings = Surroundings {
            event: json(serde_json::to_value(&submission.event))?,
            inputs: json(serde_json::to_value(&submission.inputs))?,
        };
        let asked = Asked {
            run: &run,
            surroundings: &surroundings,
            event: &submission.event,
            origin: &submission.origin,
        };
        // Whoever drives it says what is wrong with the group.
        let group = asked.group().ok().flatten();
        let new = NewRun {
            id: id.clone(),
            workflow,
            source: submission.source,
            plan: hash,
            repo: submission.event.repository.clone(),
            sha: submission.event.sha.clone(),
            branch: submission.event.branch.clone(),
            fork,
            is_child: submission.origin.parent.is_some(),
            event: surroundings.event,
            inputs: surroundings.inputs,
            origin: json(serde_json::to_value(&submission.origin))?,
            created_at: now,
        };
        let created = match drive {
            Some(drive) => shared.store.create_driven_run(new, first, &drive.engine).await?,
            None => shared.store.create_run(new, first).await?,
        };
        if let Err(refused) = created {
            return Err(Error::Refused { run: id, message: refused.to_string() });
        }
        if let Some(group) = group {
            // Its place is that of when it was asked for, whoever is faster to begin. If it cannot be said
            // now, it is when somebody drives the run.
            if let Err(error) = shared.store.join_group(&id, &group, now, now).await {
                tracing::debug!(run = %id, %error, "it enters its group when it is driven");
            }
        }
        Ok(id)
    }
}
