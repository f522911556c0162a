//! The commands of the API: each method delegates to the verb of the same name.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use plue_api::{
    CommandError, Commands, RunRequest,
    commands::{
        CallbackOutcome, DecisionRequest, EventReceipt, EventRequest, FileStream, MadeWebhook,
        RepoRequest, RetryRequest, WebhookRequest,
    },
    pauses,
};
use plue_executor::{Engine, reach::Guard};
use plue_flow::input::Reopen;
use plue_plan::{Event, RunId, StepId, event::EventType};
use plue_planner::{Evaluated, PlannedWorkflow, Trust, WorkflowFile};
use plue_store::{Store, repo::pause::PauseScope, secret::Keyring};
use serde_json::Value as Json;

use crate::{
    error::Error,
    export::Exporter,
    messages::{self, Message},
    mirrors::{Mirrors, ResolvedRevision},
    notifier::webhooks::{
        WebhookAdmin,
        admin::{self, WebhookAdminError},
    },
    plans::{PlanContext, Plans},
    process::Process,
    secrets::Credentials,
    services::Services,
    submit::{PlannedRun, Submitter},
    workspaces::Workspaces,
};

/// Time in which the driver of an ended run releases it.
const RELEASED_WITHIN: Duration = Duration::from_secs(2);
/// Pause between two tries to reopen a run that is not released yet.
const RELEASE_POLL: Duration = Duration::from_millis(10);

/// Implements the commands of the API.
#[derive(Debug)]
pub(crate) struct ApiCommands {
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) keys: Option<Keyring>,
    reach: Guard,
    exporter: Exporter,
    pub(crate) credentials: Credentials,
    pub(crate) mirrors: Mirrors,
    pub(crate) plans: Plans,
    pub(crate) workspaces: Workspaces,
    pub(crate) submitter: Submitter,
    pub(crate) process: Process,
}

// === impl Commands ===

impl Commands for ApiCommands {
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
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { self.retry_run(run, request, &by).await }.boxed()
    }

    fn rerun(&self, id: RunId, old: RunId, _by: String) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { Box::pin(self.rerun_run(id, &old)).await }.boxed()
    }

    fn decide(
        &self,
        run: RunId,
        step: StepId,
        answer: DecisionRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { self.decide_step(&run, &step, answer, by).await }.boxed()
    }

    fn knows_callback(&self, token: String) -> BoxFuture<'_, Result<bool, CommandError>> {
        async move {
            let exists = plue_executor::answer::knows_callback(&self.store, &token).await;
            exists.map_err(|error| CommandError::Unavailable(error.to_string()))
        }
        .boxed()
    }

    fn callback(
        &self,
        token: String,
        output: Json,
    ) -> BoxFuture<'_, Result<(CallbackOutcome, Option<RunId>), CommandError>> {
        async move { self.answer_callback(&token, output).await }.boxed()
    }

    fn set_secret(
        &self,
        repo: Option<String>,
        name: String,
        text: String,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { self.seal_secret(repo.as_deref(), &name, &text).await }.boxed()
    }

    fn send_event(
        &self,
        repo: String,
        id: Option<String>,
        event: EventRequest,
        by: String,
    ) -> BoxFuture<'_, Result<EventReceipt, CommandError>> {
        async move { self.store_event(&repo, id, event, by).await.map_err(command_error) }.boxed()
    }

    fn add_repo(
        &self,
        request: RepoRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { self.store_repo(request, by).await }.boxed()
    }

    fn add_webhook(
        &self,
        request: WebhookRequest,
        by: String,
    ) -> BoxFuture<'_, Result<MadeWebhook, CommandError>> {
        async move { self.webhook_admin()?.add(request, by).await.map_err(webhook_error) }.boxed()
    }

    fn rotate_webhook(&self, id: String) -> BoxFuture<'_, Result<MadeWebhook, CommandError>> {
        async move { self.webhook_admin()?.rotate(&id).await.map_err(webhook_error) }.boxed()
    }

    fn remove_webhook(&self, id: String) -> BoxFuture<'_, Result<(), CommandError>> {
        async move {
            let removed = admin::remove(&self.store, &id).await;
            removed.map(drop).map_err(|error| command_error(error.into()))
        }
        .boxed()
    }

    fn export(&self, run: RunId) -> BoxFuture<'_, Result<FileStream, CommandError>> {
        let file = self.exporter.export(self.store.clone(), run, &self.process.tasks);
        async move { file }.boxed()
    }
}

// === impl ApiCommands ===

impl ApiCommands {
    pub(crate) fn new(
        keys: Option<Keyring>,
        reach: Guard,
        exporter: Exporter,
        services: &Services,
    ) -> Self {
        Self {
            store: services.store.clone(),
            engine: services.engine.clone(),
            keys,
            reach,
            exporter,
            credentials: services.credentials.clone(),
            mirrors: services.mirrors.clone(),
            plans: services.plans.clone(),
            workspaces: services.workspaces.clone(),
            submitter: services.submitter.clone(),
            process: services.process.clone(),
        }
    }

    /// The keyring that seals secrets.
    pub(crate) fn keyring(&self) -> Result<&Keyring, CommandError> {
        self.keys.as_ref().ok_or_else(|| {
            CommandError::Conflict("the server has no master key for secrets".to_owned())
        })
    }

    fn webhook_admin(&self) -> Result<WebhookAdmin<'_>, CommandError> {
        let Process { clock, ids, .. } = &self.process;
        let (store, keys, guard) = (&self.store, self.keyring()?, &self.reach);
        Ok(WebhookAdmin { store, keys, guard, ids, clock: *clock })
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

    async fn store_event(
        &self,
        repo: &str,
        id: Option<String>,
        event: EventRequest,
        by: String,
    ) -> Result<EventReceipt, Error> {
        let row = self.store.repos().get(repo).await?;
        let row = row.ok_or_else(|| Error::NotFound(format!("there is no repository `{repo}`")))?;
        let id = id.unwrap_or_else(|| self.process.ids.text());
        let message = Message { topic: event.topic, data: event.payload, by };
        let now = self.process.clock.now();
        let new = messages::publish(&self.store, &row, message, &id, now).await?;
        Ok(EventReceipt { id, new })
    }

    async fn retry_run(
        &self,
        run: RunId,
        request: RetryRequest,
        by: &str,
    ) -> Result<(), CommandError> {
        let Process { clock, stop, .. } = &self.process;
        let row = self.store.runs().get(&run).await.map_err(|error| command_error(error.into()))?;
        let row = row.ok_or_else(|| CommandError::NotFound(format!("there is no run {run}")))?;
        if row.is_set_aside() {
            let revived = self.store.drives().revive(&run).await;
            return revived.map_err(|error| command_error(error.into()));
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
        loop {
            let request = (by, reopen.clone());
            let (secrets, stop) = (secrets.clone(), stop.clone());
            match self.engine.reopen_queued(&run, request, secrets, stop).await {
                // The driver releases a run shortly after storing its end.
                Err(plue_executor::Error::Busy { .. })
                    if clock.elapsed(started_at) < RELEASED_WITHIN =>
                {
                    clock.sleep(RELEASE_POLL).await;
                }
                reopened => {
                    return reopened.map_err(|error| CommandError::Conflict(error.to_string()));
                }
            }
        }
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

fn webhook_error(error: WebhookAdminError) -> CommandError {
    match error {
        WebhookAdminError::Address(why) => CommandError::Invalid(vec![*why]),
        WebhookAdminError::Full => CommandError::Conflict(error.to_string()),
        WebhookAdminError::Unknown(_) => CommandError::NotFound(error.to_string()),
        WebhookAdminError::Secret(error) => command_error(error.into()),
        WebhookAdminError::Store(error) => command_error(error.into()),
    }
}

pub(crate) fn command_error(error: Error) -> CommandError {
    match error {
        Error::Invalid(problems) => CommandError::Invalid(problems),
        Error::NotFound(what) => CommandError::NotFound(what),
        Error::Unfit(why) => CommandError::Unfit(why),
        Error::Paused(why) => CommandError::Paused(why),
        Error::Store(_)
        | Error::Git(_)
        | Error::Planner(_)
        | Error::Executor(_)
        | Error::Folder { .. }
        | Error::Secret(_)
        | Error::App(_)
        | Error::NotShown(_)
        | Error::Elsewhere(_)
        | Error::Stopped => CommandError::Unavailable(error.to_string()),
    }
}
