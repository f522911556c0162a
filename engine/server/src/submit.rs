//! From a plan to a stored run. The workspace is unpacked from the mirror, and the run id is reserved by
//! the run's cause, so that a repeated delivery submits one run.

use std::collections::BTreeMap;

use plue_executor::{Engine, Isolation, Origin, Submission};
use plue_forge::git::{CommitId, Mirror};
use plue_plan::{
    Event, RunId,
    event::EventType,
    inputs::{Given, Missing, typed},
};
use plue_planner::{Evaluated, PlannedWorkflow};
use plue_store::{RepoRow, Reservation, Store};
use serde_json::{Map, Value as Json};

use crate::{
    checkouts::Source, error::Error, process::Process, state_dir::StateDir, workspaces::Workspaces,
};

/// A plan that becomes a [`Submission`], with its commit and event.
pub(crate) struct PlannedRun<'a> {
    pub(crate) id: RunId,
    pub(crate) repo: &'a RepoRow,
    pub(crate) mirror: &'a Mirror,
    pub(crate) commit: &'a CommitId,
    pub(crate) file: &'a str,
    pub(crate) evaluated: &'a Evaluated,
    pub(crate) workflow: &'a PlannedWorkflow,
    pub(crate) event: Event,
    pub(crate) inputs: Map<String, Json>,
    /// Trace context of the request, if the client sent one.
    pub(crate) traceparent: Option<String>,
}

/// Submits runs. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Submitter {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) workspaces: Workspaces,
    pub(crate) state: StateDir,
    pub(crate) process: Process,
}

// === impl Submitter ===

impl Submitter {
    /// The run id that is reserved for a plan and its cause.
    pub(crate) async fn reserve_id(&self, cause: &str, plan: &str) -> Result<RunId, Error> {
        let subject = self.process.ids.run().to_string();
        let fresh = Reservation { request: plan.to_owned(), subject };
        let (key, now) = (format!("{cause} {plan}"), self.process.clock.now());
        Ok(RunId::new(self.store.idempotency().reserve("plue", &key, fresh, now).await?.subject))
    }

    /// Stores a run; a run that is stored already is left as it is.
    pub(crate) async fn submit(&self, planned: PlannedRun<'_>) -> Result<(), Error> {
        if self.store.runs().get(&planned.id).await?.is_some() {
            return Ok(());
        }
        let inputs = inputs(&planned)?;
        planned.mirror.keep(planned.commit).await?;
        let workspace = self.state.folder("workspaces")?.join(planned.id.as_str());
        let source = Source {
            repo: planned.repo,
            mirror: planned.mirror,
            commit: planned.commit,
            event: &planned.event,
            asked: &planned.workflow.hashed.plan.widest_checkout(),
            is_trusted: !planned.event.is_untrusted(),
        };
        let archive = Box::pin(self.workspaces.unpack(source, &workspace)).await?;
        let untrusted = self.is_untrusted(&planned.event).await;
        let read_set = serde_json::to_value(&*planned.evaluated.read_set);
        let submission = Submission {
            plan: planned.workflow.hashed.clone(),
            source: planned.file.to_owned(),
            event: planned.event,
            inputs,
            origin: Origin {
                // Child runs by name are planned from the files of this commit.
                repository: workspace.clone(),
                workspace,
                read_set: read_set.unwrap_or_default(),
                max_parallel: None,
                parent: None,
                untrusted,
                traceparent: planned.traceparent,
                max_duration_s: None,
                replay: None,
            },
            only: Vec::new(),
            carried: Vec::new(),
        };
        let id = planned.id.clone();
        match self.engine.submit_as(planned.id, submission).await {
            // Another engine submitted the same run concurrently.
            Err(plue_executor::Error::Refused { .. })
                if self.store.runs().get(&id).await?.is_some() =>
            {
                Ok(())
            }
            submitted => {
                submitted?;
                self.workspaces.record_archive(&id, archive).await
            }
        }
    }

    /// Whether a run for this event needs the untrusted pool. If the operator has switched that pool off,
    /// a maintainer's approval is the only guard.
    pub(crate) async fn is_untrusted(&self, event: &Event) -> bool {
        event.is_untrusted() && self.engine.untrusted_isolation().await != Isolation::Off
    }
}

/// The typed inputs of a run with defaults filled in. Missing required inputs are an error only for manual
/// runs: events carry no inputs.
fn inputs(planned: &PlannedRun<'_>) -> Result<BTreeMap<String, Json>, Error> {
    let given = planned.inputs.iter();
    let given: Vec<_> =
        given.map(|(name, value)| (name.clone(), Given::Value(value.clone()))).collect();
    let is_manual = planned.event.kind == EventType::Manual;
    let missing = if is_manual {
        Missing::Refused(|name, kind| format!("send it: \"inputs\": {{{name:?}: <{kind}>}}"))
    } else {
        Missing::Allowed
    };
    typed(&given, &planned.workflow.hashed.plan, missing).map_err(Error::Invalid)
}
