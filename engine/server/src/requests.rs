//! Commands of the API about decisions, callbacks, secrets and repositories.
//!
//! Must not authorize: the API has done so.

use plue_api::{
    CommandError,
    commands::{AppRequest, CallbackOutcome, DecisionRequest, RepoAuthor, RepoRequest},
};
use plue_executor::{
    Loaded,
    answer::{AnswerError, answer_callback, decide, decide_call, typed_fields},
};
use plue_flow::Decision;
use plue_forge::git::Remote;
use plue_plan::{Action, RunId, StepId};
use plue_store::{CallbackAnswered, RepoRow, secret::SecretError};
use serde_json::{Map, Value as Json};

use crate::{
    app::APP_SECRET,
    commands::{ApiCommands, command_error},
    forge_reporter::ReporterConfig,
    secrets::{FORGE_TOKEN, HOOK_SECRET, hook_scope_of},
};

// === impl ApiCommands ===

impl ApiCommands {
    /// Stores the decision of an approval; texts are parsed by the type of their field.
    pub(crate) async fn decide_step(
        &self,
        run: &RunId,
        step: &StepId,
        answer: DecisionRequest,
        by: String,
    ) -> Result<(), CommandError> {
        let loaded = Loaded::read(&self.parts.store, run).await;
        let loaded = loaded.map_err(|error| command_error(error.into()))?;
        let schema = match loaded.plan.step(step).map(|step| &step.action) {
            Some(Action::Approval(approval)) => approval.fields.as_ref(),
            Some(_) | None => None,
        };
        let decision = Decision {
            by,
            approve: answer.approve,
            fields: typed(schema, answer.fields),
            comment: answer.comment,
        };
        let now = self.parts.clock.now();
        if let Some(call) = &answer.call {
            let decided = decide_call(&self.parts.store, run, (step, call), decision, now).await;
            return decided.map(drop).map_err(refused);
        }
        decide(&self.parts.store, run, step, decision, now).await.map_err(refused)
    }

    /// Stores the answer to a call.
    pub(crate) async fn answer_callback(
        &self,
        token: &str,
        output: Json,
    ) -> Result<(CallbackOutcome, Option<RunId>), CommandError> {
        let now = self.parts.clock.now();
        let answered =
            answer_callback(&self.parts.store, token, output, now).await.map_err(refused)?;
        Ok(match answered {
            CallbackAnswered::Taken { run } => (CallbackOutcome::Taken, Some(run)),
            CallbackAnswered::Duplicate { run } => (CallbackOutcome::Duplicate, Some(run)),
            CallbackAnswered::Expired => (CallbackOutcome::Expired, None),
            CallbackAnswered::Unknown => (CallbackOutcome::Unknown, None),
        })
    }

    /// Seals a secret in a scope.
    pub(crate) async fn seal_in(
        &self,
        scope: &str,
        name: &str,
        text: &[u8],
    ) -> Result<(), CommandError> {
        let put = self.parts.store.secrets().put(self.keyring()?, scope, name, text).await;
        put.map_err(|error| match error {
            SecretError::Limit(why) => CommandError::Unfit(why),
            SecretError::BadKey
            | SecretError::OtherKey { .. }
            | SecretError::Damaged { .. }
            | SecretError::Random
            | SecretError::Store(_) => CommandError::Unavailable(error.to_string()),
        })
    }

    /// Stores a repository. Only commands of this machine name folders and addresses without TLS.
    pub(crate) async fn store_repo(
        &self,
        request: RepoRequest,
        by: RepoAuthor,
    ) -> Result<(), CommandError> {
        if !by.is_local && (request.allow_http || !request.url.starts_with("https://")) {
            let why = "`url` begins with https://; what lies on the server is added there";
            return Err(CommandError::Unfit(why.to_owned()));
        }
        let is_folder = by.is_local && request.forge == "local";
        if !is_folder {
            let remote = match request.allow_http {
                true => Remote::new_allowing_http(&request.url, None),
                false => Remote::new(&request.url, None),
            };
            remote.map_err(|error| CommandError::Unfit(error.to_string()))?;
        }
        let config = ReporterConfig {
            repo: &request.name,
            forge: &request.forge,
            url: &request.url,
            api: request.api.as_deref(),
            form: request.report,
            allow_http: request.allow_http,
        };
        let app = app_of(&config, request.app.as_ref())?;
        let reporter = config.row().map_err(CommandError::Unfit)?;
        let store = &self.parts.store;
        let failed = |error: plue_store::Error| command_error(error.into());
        let known = store.repos().get(&request.name).await.map_err(failed)?;
        if !by.is_local && known.is_some_and(|known| known.forge == "local") {
            let why = format!("`{}` lies on the server's machine", request.name);
            return Err(CommandError::Conflict(why));
        }
        // The secrets come before the row; until then every delivery of the repository is refused.
        let (hook, token) = (&request.webhook_secret, &request.token);
        for (name, secret) in [(HOOK_SECRET, hook), (FORGE_TOKEN, token), (APP_SECRET, &app)] {
            if let Some(secret) = secret {
                self.seal_in(&hook_scope_of(&request.name), name, secret.trim().as_bytes()).await?;
            }
        }
        if request.token.is_some() && app.is_none() {
            // The credential that is set last replaces the other kind.
            let scope = hook_scope_of(&request.name);
            store.secrets().forget(&scope, APP_SECRET).await.map_err(failed)?;
        }
        let row = RepoRow {
            name: request.name,
            forge: request.forge,
            url: request.url,
            hook: self.parts.ids.secret(),
            default_branch: request.default_branch,
            added_by: by.name,
            added_at: self.parts.clock.now(),
        };
        store.repos().add(&row).await.map_err(failed)?;
        store.reports().set_forge_reporter(&row.name, reporter.as_ref()).await.map_err(failed)
    }
}

/// The text of an App to seal.
fn app_of(
    config: &ReporterConfig<'_>,
    asked: Option<&AppRequest>,
) -> Result<Option<String>, CommandError> {
    let Some(asked) = asked else { return Ok(None) };
    let app = config.app(&asked.id, &asked.key).map_err(CommandError::Unfit)?;
    Ok(Some(app.text()))
}

/// The fields of a decision; texts are parsed by the type in the schema.
fn typed(schema: Option<&Json>, fields: Map<String, Json>) -> Map<String, Json> {
    let mut typed = Map::new();
    for (name, value) in fields {
        match value {
            Json::String(text) => typed.extend(typed_fields(schema, &[(name, text)])),
            other => drop(typed.insert(name, other)),
        }
    }
    typed
}

fn refused(error: AnswerError) -> CommandError {
    let text = error.to_string();
    match error {
        AnswerError::UnknownStep(_) => CommandError::NotFound(text),
        AnswerError::NotWaiting { .. }
        | AnswerError::NoSuchCall { .. }
        | AnswerError::Ended(_)
        | AnswerError::Already { .. } => CommandError::Conflict(text),
        AnswerError::NotAllowed { .. } => CommandError::Forbidden(text),
        AnswerError::Fields(_) | AnswerError::WhichCall { .. } => CommandError::Unfit(text),
        AnswerError::Run(error) => command_error(error.into()),
    }
}
