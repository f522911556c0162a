//! Dispatch of an event: each workflow file of its commit is planned, each plan is matched, matching plans
//! are submitted as runs, and the results are stored for the forge report.

use std::{collections::HashSet, sync::Arc};

use plue_api::{pauses, records::report::ReportPull};
use plue_executor::Engine;
use plue_forge::{
    Provider,
    feedback::PlanChange,
    git::{ChangedFiles, CommitId, Mirror, Since},
};
use plue_plan::{Diagnostic, RunId};
use plue_planner::{CommitView, Evaluated, PlannedWorkflow, Trust, WorkflowFile};
use plue_registry::{Changed, MatchInput, TriggerMatch, match_triggers};
use plue_runtime::{foreign, metrics::names};
use plue_store::{
    DeliveryRow, RepoRow, Store,
    delivery::DispatchResult,
    repo::pause::{PauseRow, PauseScope},
};
use serde_json::Map;

mod required;

use super::{
    base_plans::BasePlans,
    dispatch_log::{DispatchLog, WorkflowName},
    gate::Gate,
    trigger_context::{CommitSource, TriggerContext},
};
use crate::{
    commit_cache::CommitCache,
    error::Error,
    mirrors::Mirrors,
    notifier::{DispatchOutcome, ReportContent, ReportEntry, put_report},
    permission::TriggerPolicy,
    plans::{PlanContext, Plans},
    secrets::Credentials,
    services::Services,
    submit::{PlannedRun, Submitter},
};

/// Dispatches events of forges. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Dispatcher {
    pub(super) store: Store,
    engine: Engine,
    credentials: Credentials,
    commits: Arc<CommitCache>,
    pub(super) mirrors: Mirrors,
    pub(super) plans: Plans,
    submitter: Submitter,
    triggers: TriggerPolicy,
    clock: plue_runtime::Clock,
}

/// An event with its repository and verified commit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) delivery: &'a DeliveryRow,
    pub(super) repo: &'a RepoRow,
    pub(super) context: &'a TriggerContext,
    pub(super) mirror: &'a Mirror,
    pub(super) commit: &'a CommitId,
}

/// The results of a dispatch.
pub(super) struct Dispatched {
    pub(super) log: DispatchLog,
    /// Whether some plans await the approval of a maintainer.
    pub(super) awaiting_approval: bool,
    /// Whether an approval of the commit was taken into account.
    pub(super) was_allowed: bool,
    /// Whether nothing ran because the actor lacks write access.
    pub(super) is_refused: bool,
}

/// The dispatch of one event.
struct Dispatch<'a> {
    dispatcher: &'a Dispatcher,
    target: Target<'a>,
    changed: ChangedFiles,
    message: Option<String>,
    base: BasePlans,
    admission: Admission,
    results: Results,
}

/// Conditions other than triggers under which plans run.
struct Admission {
    pauses: Vec<PauseRow>,
    gate: Gate,
    /// Whether a maintainer has approved the commit of the pull request.
    is_allowed: bool,
    /// The reason that the actor may start nothing; the outer `None`: not checked yet.
    not_writer: Option<Option<String>>,
}

/// The results so far.
#[derive(Default)]
struct Results {
    content: ReportContent,
    log: DispatchLog,
    names: HashSet<String>,
    invalid: HashSet<String>,
    /// Whether the change keeps a plan of the base from running.
    withholds: bool,
}

// === impl Dispatcher ===

impl Dispatcher {
    pub(super) fn new(triggers: TriggerPolicy, services: &Services) -> Self {
        Self {
            store: services.store.clone(),
            engine: services.engine.clone(),
            credentials: services.credentials.clone(),
            commits: Arc::clone(&services.commits),
            mirrors: services.mirrors.clone(),
            plans: services.plans.clone(),
            submitter: services.submitter.clone(),
            triggers,
            clock: services.process.clock,
        }
    }

    /// Plans every workflow file and submits the plans that match.
    pub(super) async fn dispatch(&self, target: Target<'_>) -> Result<Dispatched, Error> {
        let Target { delivery: _, repo, context, mirror, commit } = target;
        self.mirrors.complete(repo, mirror, commit).await?;
        let event = &context.event;
        let changed = changed_files(mirror, repo, context, commit).await?;
        let view = self.plans.view(mirror.folder(), commit, event.before.as_deref()).await?;
        let files = self.plans.workflow_files(&view).await?;
        if event.branch.as_deref() == Some(&repo.default_branch) && event.pull_request.is_none() {
            self.plans.register(&repo.name, commit, (&view, &files)).await?;
        }
        let message = match &context.message {
            Some(message) => Some(message.clone()),
            None => self.message(mirror, commit).await,
        };
        let trust = if context.is_untrusted { Trust::Untrusted } else { Trust::Own };
        let plan_context =
            PlanContext { repo: &repo.name, event: Some(event), inputs: Map::new(), trust };
        let base = BasePlans::read(self, (repo, mirror), event, &plan_context).await?;
        let gate = Gate::read(&self.engine, &self.store, target).await?;
        Box::pin(self.cancel_superseded(target)).await?;
        let mut dispatch = Dispatch {
            dispatcher: self,
            target,
            changed,
            message,
            base,
            admission: self.admission(target, gate).await?,
            results: Results::default(),
        };
        dispatch.results.content.is_pull_request = event.pull_request.is_some();
        for file in &files {
            dispatch.dispatch_file(&view, file, &plan_context).await?;
        }
        dispatch.dispatch_missing().await?;
        dispatch.finish().await
    }

    async fn admission(&self, target: Target<'_>, gate: Gate) -> Result<Admission, Error> {
        let repo = &target.repo.name;
        let is_allowed = match &gate {
            Gate::Open if target.context.event.pull_request.is_some() => {
                self.store.untrusted().allowed_by(repo, target.commit.as_str()).await?.is_some()
            }
            gate => gate.is_allowed(),
        };
        let pauses = self.store.pauses().list(Some(std::slice::from_ref(repo))).await?;
        Ok(Admission { pauses, gate, is_allowed, not_writer: None })
    }

    /// The message of a commit; `None` if git cannot read it.
    async fn message(&self, mirror: &Mirror, commit: &CommitId) -> Option<String> {
        if let Some(cached) = self.commits.message(mirror.folder(), commit) {
            return Some(cached.to_string());
        }
        let message = mirror.message(commit).await.ok()?;
        self.commits.put_message(mirror.folder(), commit, message.as_str().into());
        Some(message)
    }

    /// Cancels the runs of older heads of a fork's pull request, which would take places from others.
    async fn cancel_superseded(&self, target: Target<'_>) -> Result<(), Error> {
        let Target { delivery: _, repo, context, mirror, commit } = target;
        let pull = context.event.pull_request.as_ref().filter(|_| context.is_untrusted);
        let Some(pull) = pull else { return Ok(()) };
        // A late or repeated delivery may not be about the newest head.
        if let CommitSource::PullRequest(head) = &context.source
            && mirror.resolve(head).await?.as_ref() != Some(commit)
        {
            return Ok(());
        }
        let by = format!("plue: pull request {} has the newer head {commit}", pull.number);
        let count = self
            .store
            .cancels()
            .request_for_superseded(&repo.name, pull.number, commit.as_str(), &by)
            .await?;
        names::RUNS_STOPPED.add(count, &[("reason", "superseded")]);
        Ok(())
    }
}

// === impl Dispatch ===

impl Dispatch<'_> {
    async fn dispatch_file(
        &mut self,
        view: &Arc<dyn CommitView>,
        file: &WorkflowFile,
        context: &PlanContext<'_>,
    ) -> Result<(), Error> {
        match self.dispatcher.plans.plan_file(view, &file.path, context).await? {
            Ok(evaluated) => {
                for workflow in &*evaluated.workflows {
                    self.dispatch_plan(&file.path, &evaluated, workflow).await?;
                }
            }
            Err(problems) => self.record_invalid(file, problems),
        }
        Ok(())
    }

    fn record_invalid(&mut self, file: &WorkflowFile, problems: Vec<Diagnostic>) {
        let results = &mut self.results;
        results.invalid.insert(file.path.clone());
        let name = file.name().unwrap_or(&file.path).to_owned();
        results.log.invalid(WorkflowName { name: &name, file: &file.path }, problems.clone());
        results.content.plans.push(ReportEntry {
            file: file.path.clone(),
            name,
            outcome: DispatchOutcome::Invalid(problems),
            change: PlanChange::Unchanged,
        });
    }

    async fn dispatch_plan(
        &mut self,
        file: &str,
        evaluated: &Evaluated,
        workflow: &PlannedWorkflow,
    ) -> Result<(), Error> {
        let plan = &workflow.hashed.plan;
        self.results.names.insert(plan.name.clone());
        let named = WorkflowName { name: &plan.name, file };
        let (change, reaches) = self.base.change(file, plan);
        let matched = foreign::aside(|| match_triggers(&plan.triggers, &self.match_input()));
        let outcome = match matched {
            TriggerMatch::Skipped { reason, concerned } => {
                let log = &mut self.results.log;
                if concerned {
                    log.stopped(named, DispatchResult::Skipped, reason.clone());
                } else {
                    log.without_trigger(&plan.name);
                }
                if !concerned && change == PlanChange::Unchanged {
                    return Ok(());
                }
                self.skipped(plan, reason)
            }
            TriggerMatch::Fires { .. } => {
                if let Some(why) = self.why_paused(&plan.name) {
                    self.results.log.stopped(named, DispatchResult::Paused, why.clone());
                    DispatchOutcome::Skipped(why)
                } else if let Some(why) = self.why_not_writer().await? {
                    // Not reported to the forge: the commit is the head of the default branch.
                    self.results.log.stopped(named, DispatchResult::Refused, why);
                    return Ok(());
                } else {
                    let newly = self.base.is_compared().then_some(reaches.as_slice());
                    match self.admission.gate.why_awaiting(plan, newly) {
                        Some(why) => self.await_approval(named, why),
                        None => self.submit(named, (evaluated, workflow), None).await?,
                    }
                }
            }
        };
        let (file, name) = (file.to_owned(), plan.name.clone());
        self.results.content.add(ReportEntry { file, name, outcome, change }, &reaches);
        Ok(())
    }

    fn await_approval(&mut self, named: WorkflowName<'_>, why: String) -> DispatchOutcome {
        self.results.log.stopped(named, DispatchResult::Held, why.clone());
        DispatchOutcome::AwaitingApproval(why)
    }

    /// Submits the run of a plan; a repeated delivery submits the same one. A failed checkout makes only this
    /// plan invalid.
    async fn submit(
        &mut self,
        named: WorkflowName<'_>,
        (evaluated, workflow): (&Evaluated, &PlannedWorkflow),
        remark: Option<&str>,
    ) -> Result<DispatchOutcome, Error> {
        let Target { delivery, repo, context, mirror, commit } = self.target;
        let cause = format!("{} {} {}", delivery.forge, delivery.hook, delivery.id);
        let plan = format!("{} ({})", named.name, named.file);
        let submitter = &self.dispatcher.submitter;
        let id: RunId = submitter.reserve_id(&cause, &plan).await?;
        let planned = PlannedRun {
            id: id.clone(),
            repo,
            mirror,
            commit,
            file: named.file,
            evaluated,
            workflow,
            event: context.event.clone(),
            inputs: Map::new(),
            traceparent: None,
        };
        match submitter.submit(planned).await {
            Ok(()) => {
                self.results.log.run(named, &id, remark);
                Ok(DispatchOutcome::Run(id))
            }
            Err(Error::Invalid(problems)) => {
                self.results.log.invalid(named, problems.clone());
                Ok(DispatchOutcome::Invalid(problems))
            }
            Err(error) => Err(error),
        }
    }

    /// The pause of a workflow, in words, if one is in force.
    fn why_paused(&self, workflow: &str) -> Option<String> {
        let (scope, pauses) = (PauseScope::Workflow, &self.admission.pauses);
        pauses::in_force(pauses, &self.target.repo.name, workflow, scope).map(pauses::words)
    }

    fn match_input(&self) -> MatchInput<'_> {
        MatchInput {
            event: &self.target.context.event,
            changed: match &self.changed {
                ChangedFiles::Unknown => Changed::Unknown,
                ChangedFiles::Known(files) => Changed::Files(files),
            },
            message: self.message.as_deref(),
            deleted: false,
        }
    }

    /// The reason that the actor may start nothing; the forge is asked only once.
    async fn why_not_writer(&mut self) -> Result<Option<String>, Error> {
        if let Some(checked) = &self.admission.not_writer {
            return Ok(checked.clone());
        }
        let Target { repo, context, .. } = self.target;
        let Dispatcher { triggers, credentials, .. } = self.dispatcher;
        let why =
            triggers.why_not_writer(credentials, repo, &context.event, context.actor_id).await?;
        self.admission.not_writer = Some(why.clone());
        Ok(why)
    }

    async fn finish(mut self) -> Result<Dispatched, Error> {
        let Results { content, names, invalid, .. } = &mut self.results;
        names.extend(content.plans.iter().map(|entry| entry.name.clone()));
        content.plans.extend(self.base.removed(names, invalid));
        let Target { repo, context, commit, .. } = self.target;
        let awaits =
            |entry: &ReportEntry| matches!(entry.outcome, DispatchOutcome::AwaitingApproval(_));
        let awaiting_approval = content.plans.iter().any(awaits);
        if awaiting_approval {
            content.notices.push(self.admission.gate.notice(&repo.name, commit.as_str()));
        }
        let number = context.event.pull_request.as_ref().map(|pull| pull.number);
        let provider = repo.forge.parse::<Provider>().ok();
        let page = provider
            .zip(number)
            .and_then(|(provider, number)| provider.pull_request_page(&repo.url, number));
        content.pull = ReportPull::of(&context.event, page);
        let now = self.dispatcher.clock.now();
        put_report(&self.dispatcher.store, (repo, commit), &context.event, content, now).await?;
        Ok(Dispatched {
            log: self.results.log,
            awaiting_approval,
            was_allowed: self.admission.is_allowed,
            is_refused: matches!(self.admission.not_writer, Some(Some(_))),
        })
    }
}

/// The files that an event changes, as git shows them.
async fn changed_files(
    mirror: &Mirror,
    repo: &RepoRow,
    context: &TriggerContext,
    commit: &CommitId,
) -> Result<ChangedFiles, Error> {
    let default = format!("refs/heads/{}", repo.default_branch);
    let event = &context.event;
    if let Some(pr) = &event.pull_request {
        let base = CommitId::new(&pr.base.sha).ok();
        let base = match base {
            Some(base) => Some(base),
            None => mirror.resolve(&format!("refs/heads/{}", pr.base.git_ref)).await?,
        };
        let Some(base) = base else { return Ok(ChangedFiles::Unknown) };
        return Ok(mirror.changed_files(Since::PullRequest { base: &base }, commit).await?);
    }
    let before = event.before.as_deref().and_then(|before| CommitId::new(before).ok());
    // New branches are compared with the default branch, which has nothing to be compared with itself.
    let is_default = event.branch.as_deref() == Some(repo.default_branch.as_str());
    if is_default && before.is_none() {
        return Ok(ChangedFiles::Unknown);
    }
    let default_branch = (!is_default).then_some(default.as_str());
    let since = Since::Push { before: before.as_ref(), default_branch };
    Ok(mirror.changed_files(since, commit).await?)
}
