//! The commands of the API that plan or drive runs, on a server: commits come from its mirrors, and each run
//! has a workspace of its own.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use plue_api::{
    CommandError, RunRequest,
    commands::{RerunRequest, RetryFiles, RetryRequest, RunCommands},
    pauses,
    records::retry::RestoredFiles,
};
use plue_executor::{self as executor, Engine, Loaded, relocated};
use plue_flow::input::Reopen;
use plue_plan::{Event, RunId, StepId, event::EventType};
use plue_planner::{Evaluated, PlannedWorkflow, Trust, WorkflowFile};
use plue_store::{Store, repo::pause::PauseScope};

use crate::{
    commands::command_error,
    error::Error,
    mirrors::{Mirrors, ResolvedRevision},
    plans::{PlanContext, Plans},
    process::Process,
    put_back::{not_restored, put_back},
    secrets::Credentials,
    services::Services,
    submit::{PlannedRun, Submitter},
    workspaces::Workspaces,
};

/// Time in which the driver of an ended run releases it.
const RELEASED_WITHIN: Duration = Duration::from_secs(2);
/// Pause between two tries to reopen a run that is not released yet.
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// Plans and drives runs on the services of a server.
#[derive(Debug)]
pub(crate) struct ServerRuns {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    credentials: Credentials,
    pub(crate) mirrors: Mirrors,
    plans: Plans,
    pub(crate) workspaces: Workspaces,
    pub(crate) submitter: Submitter,
    process: Process,
}

// === impl RunCommands ===

impl RunCommands for ServerRuns {
    fn submit(
        &self,
        id: RunId,
        request: RunRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { self.submit_run(id, request, by).await.map_err(command_error) }.boxed()
    }

    fn retry(
        &self,
        run: RunId,
        request: RetryRequest,
        by: String,
    ) -> BoxFuture<'_, Result<RestoredFiles, CommandError>> {
        async move { self.retry_run(run, request, &by).await }.boxed()
    }

    fn rerun(
        &self,
        id: RunId,
        old: RunId,
        request: RerunRequest,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { Box::pin(self.rerun_run(id, &old, request)).await }.boxed()
    }
}

// === impl ServerRuns ===

impl ServerRuns {
    pub(crate) fn new(services: &Services) -> Self {
        Self {
            store: services.store.clone(),
            engine: services.engine.clone(),
            credentials: services.credentials.clone(),
            mirrors: services.mirrors.clone(),
            plans: services.plans.clone(),
            workspaces: services.workspaces.clone(),
            submitter: services.submitter.clone(),
            process: services.process.clone(),
        }
    }

    /// Fails if the workflow is paused.
    pub(crate) async fn refuse_paused(&self, repo: &str, workflow: &str) -> Result<(), Error> {
        let pauses = self.store.pauses().list(Some(&[repo.to_owned()])).await?;
        match pauses::in_force(&pauses, repo, workflow, PauseScope::Workflow) {
            Some(pause) => Err(Error::Paused(Box::new(pauses::problem(pause)))),
            None => Ok(()),
        }
    }

    async fn submit_run(&self, id: RunId, request: RunRequest, by: String) -> Result<(), Error> {
        if self.store.runs().get(&id).await?.is_some() {
            return Ok(());
        }
        let repo = self.store.repos().get(&request.repository).await?;
        let repo = repo.ok_or_else(|| {
            Error::NotFound(format!("there is no repository `{}`", request.repository))
        })?;
        let rev = request.rev.as_deref().unwrap_or(&repo.default_branch);
        let resolved = self.mirrors.resolve(&repo, rev).await?;
        let ResolvedRevision { mirror, commit, branch } = resolved;
        self.mirrors.complete(&repo, &mirror, &commit).await?;
        let mut event = Event::new(EventType::Manual);
        event.repository = Some(repo.name.clone());
        event.default_branch = Some(repo.default_branch.clone());
        event.sha = Some(commit.to_string());
        event.actor = Some(by);
        event.git_ref = branch.as_ref().map(|branch| format!("refs/heads/{branch}"));
        event.branch = branch;
        let view = self.plans.view(mirror.folder(), &commit, None).await?;
        let inputs: serde_json::Map<_, _> = request.inputs.into_iter().collect();
        let context = PlanContext {
            repo: &repo.name,
            event: Some(&event),
            inputs: inputs.clone(),
            trust: Trust::Own,
        };
        let files = self.plans.workflow_files(&view).await?;
        let is_file = |file: &&WorkflowFile| {
            file.path == request.workflow || file.name() == Some(&request.workflow)
        };
        // The file of this name comes first; the others are evaluated only if it lacks the plan.
        let (first, others): (Vec<_>, Vec<_>) = files.iter().partition(is_file);
        for file in first.iter().chain(&others) {
            let is_file = is_file(file);
            let evaluated = match self.plans.plan_file(&view, &file.path, &context).await? {
                Ok(evaluated) => evaluated,
                Err(problems) if is_file => return Err(Error::Invalid(problems)),
                Err(_) => continue,
            };
            let Some(workflow) = chosen(&evaluated, &request.workflow, is_file) else { continue };
            self.refuse_paused(&repo.name, &workflow.hashed.plan.name).await?;
            let planned = PlannedRun {
                id,
                repo: &repo,
                mirror: &mirror,
                commit: &commit,
                file: &file.path,
                evaluated: &evaluated,
                workflow,
                event: event.clone(),
                inputs,
                traceparent: request.traceparent.clone(),
            };
            return self.submitter.submit(planned).await;
        }
        Err(Error::NotFound(format!("{} has no workflow `{}`", repo.name, request.workflow)))
    }

    async fn retry_run(
        &self,
        run: RunId,
        request: RetryRequest,
        by: &str,
    ) -> Result<RestoredFiles, CommandError> {
        let Process { clock, stop, .. } = &self.process;
        let row = self.store.runs().get(&run).await.map_err(|error| command_error(error.into()))?;
        let row = row.ok_or_else(|| CommandError::NotFound(format!("there is no run {run}")))?;
        if row.is_set_aside() {
            let revived = self.store.drives().revive(&run).await;
            revived.map_err(|error| command_error(error.into()))?;
            return Ok(RestoredFiles::default());
        }
        if !row.view.status.is_terminal() {
            return Err(CommandError::Conflict(format!(
                "the run has not ended: {}",
                row.view.status
            )));
        }
        let reopen = match request.from {
            Some(step) => Reopen::From(StepId::new(step)),
            None => Reopen::Failed,
        };
        let restored = self.workspaces.restore_untrusted(&row).await;
        restored.map_err(|error| {
            CommandError::Conflict(format!("its files are gone ({error}): rerun it instead"))
        })?;
        let secrets = self.credentials.run_secrets(&row).await.map_err(command_error)?;
        let started_at = clock.mark();
        // The driver releases a run shortly after storing its end.
        let is_late = || clock.elapsed(started_at) >= RELEASED_WITHIN;
        let files = loop {
            match self.put_back(&run, &reopen, request.files).await {
                Err(executor::Error::Busy { .. }) if !is_late() => clock.sleep(RELEASE_POLL).await,
                restored => break restored.map_err(|error| not_restored(&error))?,
            }
        };
        loop {
            let request = (by, reopen.clone());
            let (secrets, stop) = (secrets.clone(), stop.clone());
            match self.engine.reopen_queued(&run, request, secrets, stop).await {
                Err(executor::Error::Busy { .. }) if !is_late() => clock.sleep(RELEASE_POLL).await,
                reopened => {
                    return reopened
                        .map(|()| files)
                        .map_err(|error| CommandError::Conflict(error.to_string()));
                }
            }
        }
    }

    /// Puts the files of a run back, if its workspace is on this machine. An engine of another machine
    /// rebuilds it.
    async fn put_back(
        &self,
        run: &RunId,
        reopen: &Reopen,
        files: RetryFiles,
    ) -> Result<RestoredFiles, executor::Error> {
        let loaded = Loaded::read(&self.store, run).await?;
        let folder = self.workspaces.state.path().join("workspaces");
        if !relocated(&loaded.origin.workspace, Some(&folder)).is_dir() {
            return Ok(RestoredFiles::default());
        }
        let aside = self.workspaces.state.path().join("aside");
        put_back(&self.engine, run, Some(reopen), files, &aside).await
    }
}

fn chosen<'e>(evaluated: &'e Evaluated, name: &str, is_file: bool) -> Option<&'e PlannedWorkflow> {
    let named = evaluated.workflows.iter().find(|one| one.hashed.plan.name == name);
    match (&*evaluated.workflows, named) {
        (_, Some(named)) => Some(named),
        ([only], None) if is_file => Some(only),
        _ => None,
    }
}
