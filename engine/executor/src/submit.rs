//! Submission: stores a plan and a queued run that is pinned to it.

use std::{collections::BTreeMap, sync::Arc};

use plue_flow::{Run, fact::Carried};
use plue_plan::{Event, RunId, StepId, canonical::HashedPlan};
use plue_store::{Drive, NewRun, RunCommit};
use serde_json::Value as Json;

use crate::{
    driver::concurrency::GroupRequest, driver_lease::DriverLease, engine::Engine, error::Error,
    loaded::Origin, perform::scope::RunInputs,
};

/// A run to be stored.
#[derive(Debug)]
pub struct Submission {
    /// A valid, hashed plan.
    pub plan: HashedPlan,
    /// Path of the workflow file, relative to the repository.
    pub source: String,
    /// The event that the run handles.
    pub event: Event,
    /// Typed inputs, with defaults applied.
    pub inputs: BTreeMap<String, Json>,
    /// Workspace, read-set and parent of the run.
    pub origin: Origin,
    /// The steps to run; all if empty.
    pub only: Vec<StepId>,
    /// Outputs of an earlier run, for steps outside of `only`.
    pub carried: Vec<Carried>,
}

// === impl Engine: submitting ===

impl Engine {
    /// Stores a run; [`Engine::drive`] starts it.
    ///
    /// # Errors
    /// The database refuses, or the event or inputs cannot be written as JSON.
    pub async fn submit(&self, submission: Submission) -> Result<RunId, Error> {
        self.submit_as(self.0.ids.run(), submission).await
    }

    /// Stores a run under the id of its cause, so that repeated submissions give one run.
    ///
    /// # Errors
    /// As [`Engine::submit`]; [`Error::Refused`] if the id exists.
    pub async fn submit_as(&self, id: RunId, submission: Submission) -> Result<RunId, Error> {
        self.stored(id, submission, None).await
    }

    /// Stores a run with its driver lease, so that no other engine takes it in between.
    ///
    /// # Errors
    /// As [`Engine::submit_as`]; the lease is lost then.
    pub(crate) async fn submit_driven(
        &self,
        id: RunId,
        submission: Submission,
        lease: &DriverLease,
    ) -> Result<RunId, Error> {
        self.stored(id, submission, lease.drive()).await
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
        submission.origin.max_duration_s =
            fork.map(|_| shared.options.attempts.untrusted_timeout.as_secs());
        let corrupt = |message: String| Error::Corrupt { run: id.clone(), message };
        let json =
            |value: serde_json::Result<Json>| value.map_err(|error| corrupt(error.to_string()));
        let (workflow, hash) = (submission.plan.plan.name.clone(), submission.plan.hash);
        shared.store.plans().put(&submission.plan).await?;
        let now = shared.clock.now();
        let mut run = Run::new(id.clone(), Arc::new(submission.plan.plan));
        let created = run.create(hash, submission.only, submission.carried);
        run.evolve(now, &created).map_err(|error| corrupt(error.to_string()))?;
        let mut first = RunCommit::new(id.clone(), 0, now, run.view());
        first.facts.push(created);
        first.steps = run.step_views().collect();
        let run_inputs = RunInputs {
            event: json(serde_json::to_value(&submission.event))?,
            inputs: json(serde_json::to_value(&submission.inputs))?,
        };
        let group = GroupRequest {
            run: &run,
            inputs: &run_inputs,
            event: &submission.event,
            origin: &submission.origin,
        };
        // Its driver reports an invalid group.
        let group = group.group().ok().flatten();
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
            event: run_inputs.event,
            inputs: run_inputs.inputs,
            origin: json(serde_json::to_value(&submission.origin))?,
            created_at: now,
        };
        let created = match drive {
            Some(drive) => shared.store.runs().create_driven(new, first, &drive.engine).await?,
            None => shared.store.runs().create(new, first).await?,
        };
        if let Err(refused) = created {
            return Err(Error::Refused { run: id, message: refused.to_string() });
        }
        if let Some(group) = group {
            // The position in the group is by submission, not by start. On failure, the driver joins it.
            if let Err(error) = shared.store.groups().join(&id, &group, now, now).await {
                tracing::debug!(run = %id, %error, "failed to join a concurrency group; its driver does");
            }
        }
        Ok(id)
    }
}
