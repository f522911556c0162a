//! The commands of the API. What needs the database and keys only is done here; what plans or drives runs is
//! up to the [`RunCommands`] of the server, or of a command line without a server.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use plue_api::{
    CommandError, Commands,
    commands::{
        CallbackOutcome, DecisionRequest, EventReceipt, EventRequest, FileStream, MadeWebhook,
        RepoAuthor, RepoRequest, RunCommands, WebhookRequest,
    },
};
use plue_executor::reach::Guard;
use plue_plan::{RunId, StepId};
use plue_runtime::{Clock, Ids, Tasks};
use plue_store::{Store, secret::Keyring};
use serde_json::Value as Json;
use zeroize::Zeroizing;

use crate::{
    error::Error,
    export::Exporter,
    messages::{self, Message},
    notifier::webhooks::{
        WebhookAdmin,
        admin::{self, WebhookAdminError},
    },
};

/// The dependencies of the commands.
#[derive(Debug, Clone)]
pub struct CommandParts {
    /// Database that commands read and change.
    pub store: Store,
    /// Seals and opens secrets; `None`: commands with secrets are refused.
    pub keys: Option<Keyring>,
    /// Addresses that webhooks may have besides public ones.
    pub reach: Guard,
    /// Writes runs into files.
    pub exporter: Exporter,
    /// Time of audit rows and deliveries.
    pub clock: Clock,
    /// Source of random ids.
    pub ids: Ids,
    /// Tracker of exports, which outlive a request.
    pub tasks: Tasks,
}

/// Implements the commands of the API.
#[derive(Debug)]
pub struct ApiCommands {
    pub(crate) parts: CommandParts,
    runs: Arc<dyn RunCommands>,
}

// === impl Commands ===

impl Commands for ApiCommands {
    fn runs(&self) -> &dyn RunCommands {
        &*self.runs
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
            let exists = plue_executor::answer::knows_callback(&self.parts.store, &token).await;
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
        scope: String,
        name: String,
        text: Zeroizing<Vec<u8>>,
    ) -> BoxFuture<'_, Result<(), CommandError>> {
        async move { self.seal_in(&scope, &name, &text).await }.boxed()
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
        by: RepoAuthor,
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
            let removed = admin::remove(&self.parts.store, &id).await;
            removed.map(drop).map_err(|error| command_error(error.into()))
        }
        .boxed()
    }

    fn export(&self, run: RunId) -> BoxFuture<'_, Result<FileStream, CommandError>> {
        let file = self.parts.exporter.export(self.parts.store.clone(), run, &self.parts.tasks);
        async move { file }.boxed()
    }
}

// === impl ApiCommands ===

impl ApiCommands {
    /// The commands on these parts, with this way to plan and drive runs.
    #[must_use]
    pub fn new(parts: CommandParts, runs: Arc<dyn RunCommands>) -> Self {
        Self { parts, runs }
    }

    /// The keyring that seals secrets.
    pub(crate) fn keyring(&self) -> Result<&Keyring, CommandError> {
        self.parts.keys.as_ref().ok_or_else(|| {
            CommandError::Conflict("the server has no master key for secrets".to_owned())
        })
    }

    fn webhook_admin(&self) -> Result<WebhookAdmin<'_>, CommandError> {
        let CommandParts { store, reach, clock, ids, .. } = &self.parts;
        Ok(WebhookAdmin { store, keys: self.keyring()?, guard: reach, ids, clock: *clock })
    }

    async fn store_event(
        &self,
        repo: &str,
        id: Option<String>,
        event: EventRequest,
        by: String,
    ) -> Result<EventReceipt, Error> {
        let row = self.parts.store.repos().get(repo).await?;
        let row = row.ok_or_else(|| Error::NotFound(format!("there is no repository `{repo}`")))?;
        let id = id.unwrap_or_else(|| self.parts.ids.text());
        let message = Message { topic: event.topic, data: event.payload, by };
        let now = self.parts.clock.now();
        let new = messages::publish(&self.parts.store, &row, message, &id, now).await?;
        Ok(EventReceipt { id, new })
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
        Error::Paused(why) => CommandError::Refused(why),
        Error::Store(error) => CommandError::Failed(Box::new(error.diagnostic())),
        Error::Executor(plue_executor::Error::UnknownRun(_)) => {
            CommandError::NotFound(error.to_string())
        }
        Error::Git(_)
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
