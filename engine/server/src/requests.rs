//! What the API asks for beside runs by hand: runs again, decisions, callbacks, secrets, repositories.
//!
//! Must not ask who may: the API has.

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
    commands::command_error,
    error::Error,
    outlet::WantedOutlet,
    secrets::{FORGE_TOKEN, HOOK_SECRET, hook_scope_of, scope_of},
    server::Server,
};

impl Server {
    /// A new run of the same plan, event and inputs, in a fresh workspace of the same commit.
    pub(crate) async fn again(&self, id: RunId, old: &RunId) -> Result<(), CommandError> {
        let failed = |error: Error| command_error(error);
        if self.store().run(&id).await.map_err(|error| failed(error.into()))?.is_some() {
            return Ok(());
        }
        let loaded = Loaded::read(self.store(), old).await.map_err(|error| failed(error.into()))?;
        let nothing = |what: &str| CommandError::Conflict(format!("run {old} has no {what}"));
        let name = loaded.row.repo.as_deref().ok_or_else(|| nothing("repository"))?;
        self.refuse_paused(name, &loaded.row.workflow).await.map_err(failed)?;
        let sha = loaded.row.sha.as_deref().ok_or_else(|| nothing("commit"))?;
        let sha = CommitId::new(sha).map_err(|_| nothing("commit"))?;
        let repo = self.store().repo(name).await.map_err(|error| failed(error.into()))?;
        let repo = repo
            .ok_or_else(|| CommandError::Conflict(format!("`{name}` is not watched any more")))?;
        let (mirror, sha) = match self.mirror_with(&repo, sha.as_str()).await {
            Ok(found) => found,
            Err(Error::NotFound(why)) => return Err(CommandError::Conflict(why)),
            Err(error) => return Err(failed(error)),
        };
        mirror.keep(&sha).await.map_err(|error| failed(error.into()))?;
        let workspace = self.folder("workspaces").map_err(failed)?.join(id.as_str());
        let unreadable = |error: serde_json::Error| CommandError::Unavailable(error.to_string());
        let event = serde_json::from_value(loaded.source.event).map_err(unreadable)?;
        let asked = &loaded.plan.widest_checkout();
        let is_trusted = !loaded.origin.is_from_fork(&event);
        let (mirror, commit, event_of) = (&mirror, &sha, &event);
        let source = Source { repo: &repo, mirror, commit, event: event_of, asked, is_trusted };
        let kept = self.unpack(source, &workspace).await.map_err(failed)?;
        let plan = HashedPlan::new((*loaded.plan).clone())
            .map_err(|problem| CommandError::Invalid(vec![problem]))?;
        let untrusted = loaded.origin.untrusted || self.is_walled(&event).await;
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
        let made = self.parts().engine.submit_as(id, submission).await;
        let run = made.map_err(|error| failed(error.into()))?;
        self.keep_files(&run, kept).await.map_err(failed)
    }

    /// Keeps an answer to an approval; texts are read by the type that its field has.
    pub(crate) async fn answer(
        &self,
        run: &RunId,
        step: &StepId,
        answer: DecisionRequest,
        by: String,
    ) -> Result<(), CommandError> {
        let loaded = Loaded::read(self.store(), run).await;
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
        let now = self.parts().clock.now();
        if let Some(call) = &answer.call {
            let decided = decide_call(self.store(), run, (step, call), decision, now).await;
            return decided.map(drop).map_err(refused);
        }
        decide(self.store(), run, step, decision, now).await.map_err(refused)
    }

    /// Keeps the answer to a call.
    pub(crate) async fn called_back(
        &self,
        token: &str,
        output: Json,
    ) -> Result<(CallbackOutcome, Option<RunId>), CommandError> {
        let now = self.parts().clock.now();
        let answered = answer_callback(self.store(), token, output, now).await.map_err(refused)?;
        Ok(match answered {
            CallbackAnswered::Taken { run } => (CallbackOutcome::Taken, Some(run)),
            CallbackAnswered::Duplicate { run } => (CallbackOutcome::Duplicate, Some(run)),
            CallbackAnswered::Expired => (CallbackOutcome::Expired, None),
            CallbackAnswered::Unknown => (CallbackOutcome::Unknown, None),
        })
    }

    /// Seals a secret of a repository, or of all.
    pub(crate) async fn seal(
        &self,
        repo: Option<&str>,
        name: &str,
        text: &str,
    ) -> Result<(), CommandError> {
        let scope = repo.map_or_else(|| EVERYWHERE.to_owned(), scope_of);
        self.seal_in(&scope, name, text).await
    }

    async fn seal_in(&self, scope: &str, name: &str, text: &str) -> Result<(), CommandError> {
        let keys = self.parts().keys.as_ref();
        let keys = keys.ok_or_else(|| {
            CommandError::Conflict("the server has no master key for secrets".to_owned())
        })?;
        let put = self.store().put_secret(keys, scope, name, text.as_bytes()).await;
        put.map_err(|error| match error {
            SecretError::Limit(why) => CommandError::Unfit(why),
            SecretError::BadKey
            | SecretError::OtherKey { .. }
            | SecretError::Damaged { .. }
            | SecretError::Random
            | SecretError::Store(_) => CommandError::Unavailable(error.to_string()),
        })
    }

    /// Watches a repository of a forge. A path of this machine is none, whoever asks.
    pub(crate) async fn watch(&self, asked: RepoRequest, by: String) -> Result<(), CommandError> {
        if !asked.url.starts_with("https://") {
            let why = "`url` begins with https://; what lies on the server is added there";
            return Err(CommandError::Unfit(why.to_owned()));
        }
        Remote::new(&asked.url, None).map_err(|error| CommandError::Unfit(error.to_string()))?;
        let outlet = WantedOutlet {
            repo: &asked.name,
            forge: &asked.forge,
            url: &asked.url,
            api: asked.api.as_deref(),
            form: asked.report,
            allow_http: false,
        };
        let app = app_of(&outlet, asked.app.as_ref())?;
        let outlet = outlet.row().map_err(CommandError::Unfit)?;
        let store = self.store();
        let failed = |error: plue_store::Error| command_error(error.into());
        let known = store.repo(&asked.name).await.map_err(failed)?;
        if known.is_some_and(|known| known.forge == "local") {
            let why = format!("`{}` lies on the server's machine", asked.name);
            return Err(CommandError::Conflict(why));
        }
        // Before the row: a repository whose deliveries cannot be verified yet is believed nothing.
        let (hook, token) = (&asked.webhook_secret, &asked.token);
        for (name, secret) in [(HOOK_SECRET, hook), (FORGE_TOKEN, token), (APP_SECRET, &app)] {
            if let Some(secret) = secret {
                self.seal_in(&hook_scope_of(&asked.name), name, secret.trim()).await?;
            }
        }
        if asked.token.is_some() && app.is_none() {
            // The one that was given last counts.
            let scope = hook_scope_of(&asked.name);
            store.forget_secret(&scope, APP_SECRET).await.map_err(failed)?;
        }
        let parts = self.parts();
        let row = RepoRow {
            name: asked.name,
            forge: asked.forge,
            url: asked.url,
            hook: parts.ids.secret(),
            default_branch: asked.default_branch,
            added_by: by,
            added_at: parts.clock.now(),
        };
        store.repo_add(&row).await.map_err(failed)?;
        store.set_outlet(&row.name, outlet.as_ref()).await.map_err(failed)
    }
}

/// The text that an App is sealed as.
fn app_of(
    outlet: &WantedOutlet<'_>,
    asked: Option<&AppRequest>,
) -> Result<Option<String>, CommandError> {
    let Some(asked) = asked else { return Ok(None) };
    let app = outlet.app(&asked.id, &asked.key).map_err(CommandError::Unfit)?;
    Ok(Some(app.text()))
}

/// Values as they came, except that a text is read as a person's word for what the schema asks for.
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
