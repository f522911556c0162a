//! What the API asks for: runs by hand, and runs that go on.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use plue_api::{
    CommandError, Commands, RunRequest,
    commands::{
        CallbackOutcome, DecisionRequest, EventReceipt, EventRequest, FileStream, MadeWebhook,
        RepoRequest, RetryRequest, WebhookRequest,
    },
};
use plue_flow::input::Reopen;
use plue_plan::{Event, RunId, StepId, event::EventType};
use plue_planner::{Evaluated, PlannedWorkflow, Trust, WorkflowFile};
use serde_json::Value as Json;

use crate::{
    error::Error,
    messages::{self, Message},
    plans::For,
    server::Server,
    submit::Wanted,
    webhooks::{self, Desk, desk::DeskError},
};

/// A run that has ended is released by its driver within this time.
const RELEASED_WITHIN: Duration = Duration::from_secs(2);
/// Between two tries to reopen a run that is not released yet.
const RELEASE_POLL: Duration = Duration::from_millis(10);

impl Commands for Server {
    fn submit(
        &self,
        id: RunId,
        request: RunRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { self.by_hand(id, request, by).await.map_err(command_error) }.boxed()
    }

    fn retry(
        &self,
        run: RunId,
        request: RetryRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { self.go_on(run, request, &by).await }.boxed()
    }

    fn rerun(&self, id: RunId, old: RunId, _by: String) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { Box::pin(self.again(id, &old)).await }.boxed()
    }

    fn decide(
        &self,
        run: RunId,
        step: StepId,
        answer: DecisionRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { self.answer(&run, &step, answer, by).await }.boxed()
    }

    fn knows_callback(&self, token: String) -> BoxFuture<'_, Result<bool, CommandError>> {
        async move {
            let known = plue_executor::answer::knows_callback(self.store(), &token).await;
            known.map_err(|error| CommandError::Unavailable(error.to_string()))
        }
        .boxed()
    }

    fn callback(
        &self,
        token: String,
        output: Json,
    ) -> BoxFuture<'_, Result<(CallbackOutcome, Option<RunId>), CommandError>> {
        async move { self.called_back(&token, output).await }.boxed()
    }

    fn set_secret(
        &self,
        repo: Option<String>,
        name: String,
        text: String,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { self.seal(repo.as_deref(), &name, &text).await }.boxed()
    }

    fn send_event(
        &self,
        repo: String,
        id: Option<String>,
        event: EventRequest,
        by: String,
    ) -> BoxFuture<'_, Result<EventReceipt, CommandError>> {
        async move { self.take_event(&repo, id, event, by).await.map_err(command_error) }.boxed()
    }

    fn add_repo(
        &self,
        request: RepoRequest,
        by: String,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { self.watch(request, by).await }.boxed()
    }

    fn add_webhook(
        &self,
        request: WebhookRequest,
        by: String,
    ) -> BoxFuture<'_, Result<MadeWebhook, CommandError>> {
        async move { self.desk()?.add(request, by).await.map_err(desk_error) }.boxed()
    }

    fn rotate_webhook(&self, id: String) -> BoxFuture<'_, Result<MadeWebhook, CommandError>> {
        async move { self.desk()?.rotate(&id).await.map_err(desk_error) }.boxed()
    }

    fn remove_webhook(&self, id: String) -> BoxFuture<'_, Result<(), CommandError>> {
        async move {
            let removed = webhooks::desk::remove(self.store(), &id).await;
            removed.map(drop).map_err(|error| command_error(error.into()))
        }
        .boxed()
    }

    fn export(&self, run: RunId) -> BoxFuture<'_, Result<FileStream, CommandError>> {
        let parts = self.parts();
        let file = parts.exporter.export(parts.store.clone(), run, &parts.tasks);
        async move { file }.boxed()
    }
}

impl Server {
    fn desk(&self) -> Result<Desk<'_>, CommandError> {
        let parts = self.parts();
        let keys = parts.keys.as_ref().ok_or_else(|| {
            CommandError::Conflict("the server has no master key for secrets".to_owned())
        })?;
        let guard = &parts.options.reach;
        Ok(Desk { store: &parts.store, keys, guard, ids: &parts.ids, clock: parts.clock })
    }

    async fn by_hand(&self, id: RunId, request: RunRequest, by: String) -> Result<(), Error> {
        if self.store().run(&id).await?.is_some() {
            return Ok(());
        }
        let repo = self.store().repo(&request.repository).await?;
        let repo = repo.ok_or_else(|| {
            Error::NotFound(format!("there is no repository `{}`", request.repository))
        })?;
        let rev = request.rev.as_deref().unwrap_or(&repo.default_branch);
        let (mirror, commit, branch) = self.commit(&repo, rev).await?;
        self.complete(&repo, &mirror, &commit).await?;
        let mut event = Event::new(EventType::Manual);
        event.repository = Some(repo.name.clone());
        event.default_branch = Some(repo.default_branch.clone());
        event.sha = Some(commit.to_string());
        event.actor = Some(by);
        event.git_ref = branch.as_ref().map(|branch| format!("refs/heads/{branch}"));
        event.branch = branch;
        let view = self.view(mirror.folder(), &commit, None).await?;
        let inputs: serde_json::Map<_, _> = request.inputs.into_iter().collect();
        let whom = For {
            repo: &repo.name,
            event: Some(&event),
            inputs: inputs.clone(),
            trust: Trust::Own,
        };
        let files = self.workflow_files(&view).await?;
        let is_file = |file: &&WorkflowFile| {
            file.path == request.workflow || file.name() == Some(&request.workflow)
        };
        // The file of this name first: the others need not be evaluated if it has the plan.
        let (first, others): (Vec<_>, Vec<_>) = files.iter().partition(is_file);
        for file in first.iter().chain(&others) {
            let is_file = is_file(file);
            let planned = self.plan_file(&view, &file.path, &whom).await?;
            let evaluated = match planned.plans {
                Ok(evaluated) => evaluated,
                Err(problems) if is_file => return Err(Error::Invalid(problems)),
                Err(_) => continue,
            };
            let Some(workflow) = chosen(&evaluated, &request.workflow, is_file) else { continue };
            self.refuse_paused(&repo.name, &workflow.hashed.plan.name).await?;
            return self
                .submit_run(Wanted {
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
                })
                .await;
        }
        Err(Error::NotFound(format!("{} has no workflow `{}`", repo.name, request.workflow)))
    }

    async fn take_event(
        &self,
        repo: &str,
        id: Option<String>,
        event: EventRequest,
        by: String,
    ) -> Result<EventReceipt, Error> {
        let row = self.store().repo(repo).await?;
        let row = row.ok_or_else(|| Error::NotFound(format!("there is no repository `{repo}`")))?;
        let id = id.unwrap_or_else(|| self.parts().ids.text());
        let message = Message { topic: event.topic, data: event.payload, by };
        let now = self.parts().clock.now();
        let new = messages::publish(self.store(), &row, message, &id, now).await?;
        Ok(EventReceipt { id, new })
    }

    async fn go_on(&self, run: RunId, request: RetryRequest, by: &str) -> Result<(), CommandError> {
        let parts = self.parts();
        let row = self.store().run(&run).await.map_err(|error| command_error(error.into()))?;
        let row = row.ok_or_else(|| CommandError::NotFound(format!("there is no run {run}")))?;
        if row.is_set_aside() {
            let revived = self.store().revive(&run).await;
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
        let restored = self.restore_workspace(&row).await;
        restored.map_err(|error| {
            CommandError::Conflict(format!("its files are gone ({error}): rerun it instead"))
        })?;
        let secrets = self.secrets_of(&row).await.map_err(command_error)?;
        let begun = parts.clock.mark();
        loop {
            let request = (by, reopen.clone());
            let (secrets, stop) = (secrets.clone(), parts.stop.clone());
            match parts.engine.reopen_queued(&run, request, secrets, stop).await {
                // The driver lets go of a run a moment after its end is stored.
                Err(plue_executor::Error::Busy { .. })
                    if parts.clock.elapsed(begun) < RELEASED_WITHIN =>
                {
                    parts.clock.sleep(RELEASE_POLL).await;
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

fn desk_error(error: DeskError) -> CommandError {
    match error {
        DeskError::Address(why) => CommandError::Invalid(vec![*why]),
        DeskError::Full => CommandError::Conflict(error.to_string()),
        DeskError::Unknown(_) => CommandError::NotFound(error.to_string()),
        DeskError::Secret(error) => command_error(error.into()),
        DeskError::Store(error) => command_error(error.into()),
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
