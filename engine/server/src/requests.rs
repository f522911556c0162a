//! Commands of the API other than submit and retry: reruns, decisions, callbacks, secrets, repositories.
//!
//! Must not authorize: the API has done so.

use plue_api::{
    CommandError,
    commands::{AppRequest, CallbackOutcome, DecisionRequest, RepoRequest},
};
use plue_executor::{
    Loaded, Origin, Submission,
    answer::{AnswerError, answer_callback, decide, decide_call, typed_fields},
};
use plue_flow::Decision;
use plue_forge::git::{CommitId, Remote};
use plue_plan::{Action, HashedPlan, RunId, StepId};
use plue_store::{
    CallbackAnswered, RepoRow,
    secret::{EVERYWHERE, SecretError},
};
use serde_json::{Map, Value as Json};

use crate::{
    app::APP_SECRET,
    checkouts::Source,
    commands::{ApiCommands, command_error},
    error::Error,
    forge_reporter::ReporterConfig,
    secrets::{FORGE_TOKEN, HOOK_SECRET, hook_scope_of, scope_of},
};

// === impl ApiCommands ===

impl ApiCommands {
    /// Submits a run of the same plan, event and inputs in a fresh workspace of the same commit.
    pub(crate) async fn rerun_run(&self, id: RunId, old: &RunId) -> Result<(), CommandError> {
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
            only: Vec::new(),
            carried: Vec::new(),
        };
        let made = self.engine.submit_as(id, submission).await;
        let run = made.map_err(|error| failed(error.into()))?;
        self.workspaces.record_archive(&run, archive).await.map_err(failed)
    }

    /// Stores the decision of an approval; texts are parsed by the type of their field.
    pub(crate) async fn decide_step(
        &self,
        run: &RunId,
        step: &StepId,
        answer: DecisionRequest,
        by: String,
    ) -> Result<(), CommandError> {
        let loaded = Loaded::read(&self.store, run).await;
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
        let now = self.process.clock.now();
        if let Some(call) = &answer.call {
            let decided = decide_call(&self.store, run, (step, call), decision, now).await;
            return decided.map(drop).map_err(refused);
        }
        decide(&self.store, run, step, decision, now).await.map_err(refused)
    }

    /// Stores the answer to a call.
    pub(crate) async fn answer_callback(
        &self,
        token: &str,
        output: Json,
    ) -> Result<(CallbackOutcome, Option<RunId>), CommandError> {
        let now = self.process.clock.now();
        let answered = answer_callback(&self.store, token, output, now).await.map_err(refused)?;
        Ok(match answered {
            CallbackAnswered::Taken { run } => (CallbackOutcome::Taken, Some(run)),
            CallbackAnswered::Duplicate { run } => (CallbackOutcome::Duplicate, Some(run)),
            CallbackAnswered::Expired => (CallbackOutcome::Expired, None),
            CallbackAnswered::Unknown => (CallbackOutcome::Unknown, None),
        })
    }

    /// Seals a secret of a repository, or a global one.
    pub(crate) async fn seal_secret(
        &self,
        repo: Option<&str>,
        name: &str,
        text: &str,
    ) -> Result<(), CommandError> {
        let scope = repo.map_or_else(|| EVERYWHERE.to_owned(), scope_of);
        self.seal_in(&scope, name, text).await
    }

    async fn seal_in(&self, scope: &str, name: &str, text: &str) -> Result<(), CommandError> {
        let put = self.store.secrets().put(self.keyring()?, scope, name, text.as_bytes()).await;
        put.map_err(|error| match error {
            SecretError::Limit(why) => CommandError::Unfit(why),
            SecretError::BadKey
            | SecretError::OtherKey { .. }
            | SecretError::Damaged { .. }
            | SecretError::Random
            | SecretError::Store(_) => CommandError::Unavailable(error.to_string()),
        })
    }

    /// Stores a repository of a forge. Local paths are refused for every caller.
    pub(crate) async fn store_repo(
        &self,
        request: RepoRequest,
        by: String,
    ) -> Result<(), CommandError> {
        if !request.url.starts_with("https://") {
            let why = "`url` begins with https://; what lies on the server is added there";
            return Err(CommandError::Unfit(why.to_owned()));
        }
        Remote::new(&request.url, None).map_err(|error| CommandError::Unfit(error.to_string()))?;
        let config = ReporterConfig {
            repo: &request.name,
            forge: &request.forge,
            url: &request.url,
            api: request.api.as_deref(),
            form: request.report,
            allow_http: false,
        };
        let app = app_of(&config, request.app.as_ref())?;
        let reporter = config.row().map_err(CommandError::Unfit)?;
        let store = &self.store;
        let failed = |error: plue_store::Error| command_error(error.into());
        let known = store.repos().get(&request.name).await.map_err(failed)?;
        if known.is_some_and(|known| known.forge == "local") {
            let why = format!("`{}` lies on the server's machine", request.name);
            return Err(CommandError::Conflict(why));
        }
        // The secrets come before the row; until then every delivery of the repository is refused.
        let (hook, token) = (&request.webhook_secret, &request.token);
        for (name, secret) in [(HOOK_SECRET, hook), (FORGE_TOKEN, token), (APP_SECRET, &app)] {
            if let Some(secret) = secret {
                self.seal_in(&hook_scope_of(&request.name), name, secret.trim()).await?;
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
            hook: self.process.ids.secret(),
            default_branch: request.default_branch,
            added_by: by,
            added_at: self.process.clock.now(),
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
