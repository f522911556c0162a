//! From a plan to a stored run: the workspace is unpacked from the mirror, and the run gets the id
//! that its cause has, so that a cause that is looked at twice makes one run.

use std::collections::BTreeMap;

use plue_executor::{Apart, Origin, Submission};
use plue_forge::git::{CommitId, Mirror};
use plue_plan::{
    Event, RunId,
    event::EventType,
    inputs::{Given, Missing, typed},
};
use plue_planner::{Evaluated, PlannedWorkflow};
use plue_store::{RepoRow, Reservation};
use serde_json::{Map, Value as Json};

use crate::{checkouts::Source, error::Error, server::Server};

/// A run to be made.
pub(crate) struct Wanted<'a> {
    pub(crate) id: RunId,
    pub(crate) repo: &'a RepoRow,
    pub(crate) mirror: &'a Mirror,
    pub(crate) commit: &'a CommitId,
    pub(crate) file: &'a str,
    pub(crate) evaluated: &'a Evaluated,
    pub(crate) workflow: &'a PlannedWorkflow,
    pub(crate) event: Event,
    pub(crate) inputs: Map<String, Json>,
    /// Where in a trace it was asked for, if somebody said.
    pub(crate) traceparent: Option<String>,
}

impl Server {
    /// The id of the run that a cause makes: always the same.
    pub(crate) async fn id_of(&self, cause: &str, plan: &str) -> Result<RunId, Error> {
        let parts = self.parts();
        let wanted = Reservation { request: plan.to_owned(), subject: parts.ids.run().to_string() };
        let now = parts.clock.now();
        let kept = self.store().reserve("plue", &format!("{cause} {plan}"), wanted, now).await?;
        Ok(RunId::new(kept.subject))
    }

    /// Stores a run, unless it is stored already.
    pub(crate) async fn submit_run(&self, wanted: Wanted<'_>) -> Result<(), Error> {
        if self.store().run(&wanted.id).await?.is_some() {
            return Ok(());
        }
        let inputs = inputs(&wanted)?;
        wanted.mirror.keep(wanted.commit).await?;
        let workspace = self.folder("workspaces")?.join(wanted.id.as_str());
        let source = Source {
            repo: wanted.repo,
            mirror: wanted.mirror,
            commit: wanted.commit,
            event: &wanted.event,
            asked: &wanted.workflow.hashed.plan.widest_checkout(),
            is_trusted: !wanted.event.is_strangers(),
        };
        let kept = Box::pin(self.unpack(source, &workspace)).await?;
        let untrusted = self.is_walled(&wanted.event).await;
        let read_set = serde_json::to_value(&*wanted.evaluated.read_set);
        let submission = Submission {
            plan: wanted.workflow.hashed.clone(),
            source: wanted.file.to_owned(),
            event: wanted.event,
            inputs,
            origin: Origin {
                // Child runs by name are planned from the files of this commit.
                repository: workspace.clone(),
                workspace,
                read_set: read_set.unwrap_or_default(),
                max_parallel: None,
                parent: None,
                untrusted,
                traceparent: wanted.traceparent,
                max_duration_s: None,
                replay: None,
            },
            only: Vec::new(),
            carried: Vec::new(),
        };
        let id = wanted.id.clone();
        match self.parts().engine.submit_as(wanted.id, submission).await {
            // Another engine looked at the same cause at the same time.
            Err(plue_executor::Error::Refused { .. }) if self.store().run(&id).await?.is_some() => {
                Ok(())
            }
            submitted => {
                submitted?;
                self.keep_files(&id, kept).await
            }
        }
    }

    /// Whether a run for this event is one for the pool of strangers. The operator who has switched
    /// that off leaves it to maintainers what runs beside everything else.
    pub(crate) async fn is_walled(&self, event: &Event) -> bool {
        event.is_strangers() && self.parts().engine.is_apart().await != Apart::Off
    }
}

/// The inputs of the types that the plan declares, defaults filled in. Only who asks for a run by hand
/// can give those that are required.
fn inputs(wanted: &Wanted<'_>) -> Result<BTreeMap<String, Json>, Error> {
    let given = wanted.inputs.iter();
    let given: Vec<_> =
        given.map(|(name, value)| (name.clone(), Given::Value(value.clone()))).collect();
    let by_hand = wanted.event.kind == EventType::Manual;
    let missing = if by_hand {
        Missing::Refused(|name, kind| format!("send it: \"inputs\": {{{name:?}: <{kind}>}}"))
    } else {
        Missing::Allowed
    };
    typed(&given, &wanted.workflow.hashed.plan, missing).map_err(Error::Invalid)
}
