//! Reruns on a server: a new run of a recorded plan and event, whole or in part.

use plue_api::{CommandError, commands::RerunRequest};
use plue_executor::{
    Loaded, Origin, Submission,
    rerun::{Part, put_back_artifacts},
};
use plue_flow::input::Reopen;
use plue_forge::git::CommitId;
use plue_plan::{HashedPlan, RunId, StepId};

use crate::{checkouts::Source, commands::command_error, error::Error, server_runs::ServerRuns};

/// The part of a run that a request repeats.
///
/// # Errors
/// The run has not ended, or has no such step.
pub fn part_of(loaded: &Loaded, request: &RerunRequest) -> Result<Part, CommandError> {
    let reopen = match (&request.from, request.failed) {
        (None, false) => return Ok(Part::whole()),
        (Some(step), _) => Reopen::From(StepId::new(step.as_str())),
        (None, true) => Reopen::Failed,
    };
    Part::of(loaded, &reopen).map_err(|error| CommandError::Conflict(error.to_string()))
}

// === impl ServerRuns ===

impl ServerRuns {
    /// Submits a run of the same plan, event and inputs in a fresh workspace of the same commit.
    pub(crate) async fn rerun_run(
        &self,
        id: RunId,
        old: &RunId,
        request: RerunRequest,
    ) -> Result<(), CommandError> {
        let failed = |error: Error| command_error(error);
        if self.store.runs().get(&id).await.map_err(|error| failed(error.into()))?.is_some() {
            return Ok(());
        }
        let loaded = Loaded::read(&self.store, old).await.map_err(|error| failed(error.into()))?;
        let nothing = |what: &str| CommandError::Conflict(format!("run {old} has no {what}"));
        let name = loaded.row.repo.as_deref().ok_or_else(|| nothing("repository"))?;
        self.refuse_paused(name, &loaded.row.workflow).await.map_err(failed)?;
        let sha = loaded.row.sha.as_deref().ok_or_else(|| nothing("commit"))?;
        let sha = CommitId::new(sha).map_err(|_| nothing("commit"))?;
        let repo = self.store.repos().get(name).await.map_err(|error| failed(error.into()))?;
        let repo = repo
            .ok_or_else(|| CommandError::Conflict(format!("`{name}` is not watched any more")))?;
        let part = part_of(&loaded, &request)?;
        let (mirror, sha) = match self.mirrors.mirror_with(&repo, sha.as_str()).await {
            Ok(found) => found,
            Err(Error::NotFound(why)) => return Err(CommandError::Conflict(why)),
            Err(error) => return Err(failed(error)),
        };
        mirror.keep(&sha).await.map_err(|error| failed(error.into()))?;
        let workspace =
            self.workspaces.state.folder("workspaces").map_err(failed)?.join(id.as_str());
        let unreadable = |error: serde_json::Error| CommandError::Unavailable(error.to_string());
        let event = serde_json::from_value(loaded.source.event).map_err(unreadable)?;
        let asked = &loaded.plan.widest_checkout();
        let is_trusted = !loaded.origin.is_from_fork(&event);
        let (mirror, commit, event_of) = (&mirror, &sha, &event);
        let source = Source { repo: &repo, mirror, commit, event: event_of, asked, is_trusted };
        let archive = self.workspaces.unpack(source, &workspace).await.map_err(failed)?;
        let plan = HashedPlan::new((*loaded.plan).clone())
            .map_err(|problem| CommandError::Invalid(vec![problem]))?;
        let untrusted = loaded.origin.untrusted || self.submitter.is_untrusted(&event).await;
        put_back_artifacts(&self.store, &part.carried, &workspace)
            .await
            .map_err(|error| failed(error.into()))?;
        let submission = Submission {
            plan,
            source: loaded.source.source,
            event,
            inputs: serde_json::from_value(loaded.source.inputs).map_err(unreadable)?,
            origin: Origin {
                repository: workspace.clone(),
                workspace,
                parent: None,
                untrusted,
                traceparent: None,
                max_duration_s: None,
                replay: None,
                ..loaded.origin
            },
            only: part.only,
            carried: part.carried,
        };
        let made = self.engine.submit_as(id, submission).await;
        let run = made.map_err(|error| failed(error.into()))?;
        self.workspaces.record_archive(&run, archive).await.map_err(failed)
    }
}
