//! What a server does about an event: each workflow file of its commit is planned, each plan matched,
//! what fires is submitted, and all of it is put down for the forge to be told.

use std::{collections::HashSet, sync::Arc};

use plue_api::pauses;
use plue_forge::{
    feedback::PlanChange,
    git::{ChangedFiles, CommitId, Mirror, Since},
};
use plue_plan::{Diagnostic, capability::Capability};
use plue_planner::{CommitView, Evaluated, PlannedWorkflow, Trust, WorkflowFile};
use plue_registry::{Changed, Conclusion, Happening, conclude};
use plue_runtime::{foreign, metrics::names};
use plue_store::{
    DeliveryRow, RepoRow,
    delivery::DispatchResult,
    repo::pause::{PauseRow, PauseScope},
};
use serde_json::Map;

mod required;

use crate::{
    dispatch::{DispatchLog, WorkflowName},
    error::Error,
    feedback::{Before, Content, Entry, Fate},
    gate::Gate,
    occasion::{CommitSource, Occasion},
    plans::For,
    server::Server,
    submit::Wanted,
};

/// What was done about an event.
pub(crate) struct Reacted {
    /// Results of the event for each workflow.
    pub(crate) log: DispatchLog,
    /// Some plans wait for a maintainer; and whether he was known to have allowed the commit.
    pub(crate) held: Option<bool>,
    /// Nothing runs, for the person behind the event may not start it.
    pub(crate) is_refused: bool,
}

/// An event that is being reacted to.
struct Reaction<'a> {
    server: &'a Server,
    delivery: &'a DeliveryRow,
    repo: &'a RepoRow,
    occasion: &'a Occasion,
    mirror: &'a Mirror,
    commit: &'a CommitId,
    changed: ChangedFiles,
    message: Option<String>,
    before: Before,
    /// What the forge is to be told.
    content: Content,
    /// Results of the delivery for each workflow so far.
    log: DispatchLog,
    /// The pauses of the repository.
    pauses: Vec<PauseRow>,
    /// What of it may run.
    gate: Gate,
    /// A maintainer has allowed the commit of the pull request.
    is_allowed: bool,
    /// Some plans do not run although the base's would.
    withholds: bool,
    /// Reason that the person behind the event may start nothing; `None`: not asked yet.
    not_writer: Option<Option<String>>,
    names: HashSet<String>,
    invalid: HashSet<String>,
}

// === impl Server ===

impl Server {
    /// Plans every workflow file and submits what fires.
    pub(crate) async fn react(
        &self,
        delivery: &DeliveryRow,
        repo: &RepoRow,
        occasion: &Occasion,
        (mirror, commit): (&Mirror, &CommitId),
    ) -> Result<Reacted, Error> {
        let event = &occasion.event;
        let changed = changed(mirror, repo, occasion, commit).await?;
        let view = self.view(mirror.folder(), commit, event.before.as_deref()).await?;
        let files = self.workflow_files(&view).await?;
        if event.branch.as_deref() == Some(&repo.default_branch) && event.pull_request.is_none() {
            self.register(&repo.name, commit, (&view, &files)).await?;
        }
        let message = match &occasion.message {
            Some(message) => Some(message.clone()),
            None => self.message(mirror, commit).await,
        };
        let trust = if occasion.is_stranger { Trust::Untrusted } else { Trust::Own };
        let whom = For { repo: &repo.name, event: Some(event), inputs: Map::new(), trust };
        let before = self.before((repo, mirror), event, &whom).await?;
        let gate = self.gate(repo, occasion, commit).await?;
        Box::pin(self.cancel_superseded(repo, occasion, (mirror, commit))).await?;
        let is_pull_request = event.pull_request.is_some();
        let is_allowed = match &gate {
            Gate::Open if is_pull_request => {
                self.store().allowed_by(&repo.name, commit.as_str()).await?.is_some()
            }
            gate => gate.is_allowed(),
        };
        let mut reaction = Reaction {
            server: self,
            delivery,
            repo,
            occasion,
            mirror,
            commit,
            changed,
            message,
            before,
            content: Content { is_pull_request, ..Content::default() },
            log: DispatchLog::default(),
            pauses: self.store().pauses(Some(std::slice::from_ref(&repo.name))).await?,
            gate,
            is_allowed,
            withholds: false,
            not_writer: None,
            names: HashSet::new(),
            invalid: HashSet::new(),
        };
        for file in &files {
            reaction.file(&view, file, &whom).await?;
        }
        reaction.missing().await?;
        reaction.end().await
    }
}

impl Server {
    /// The message of a commit; `None` if git cannot read it.
    async fn message(&self, mirror: &Mirror, commit: &CommitId) -> Option<String> {
        if let Some(known) = self.known().message(mirror.folder(), commit) {
            return Some(known.to_string());
        }
        let message = mirror.message(commit).await.ok()?;
        self.known().put_message(mirror.folder(), commit, message.as_str().into());
        Some(message)
    }

    /// Cancels the runs for older heads of a fork's pull request: they are superseded, and take the
    /// places of others.
    async fn cancel_superseded(
        &self,
        repo: &RepoRow,
        occasion: &Occasion,
        (mirror, commit): (&Mirror, &CommitId),
    ) -> Result<(), Error> {
        let pull = occasion.event.pull_request.as_ref().filter(|_| occasion.is_stranger);
        let Some(pull) = pull else { return Ok(()) };
        // A delivery may come late, or be looked at again: then it is not the newest head.
        if let CommitSource::PullRequest(head) = &occasion.source
            && mirror.resolve(head).await?.as_ref() != Some(commit)
        {
            return Ok(());
        }
        let by = format!("plue: pull request {} has the newer head {commit}", pull.number);
        let count =
            self.store().cancel_superseded(&repo.name, pull.number, commit.as_str(), &by).await?;
        names::RUNS_STOPPED.add(count, &[("reason", "superseded")]);
        Ok(())
    }
}

// === impl Reaction ===

impl Reaction<'_> {
    async fn file(
        &mut self,
        view: &Arc<dyn CommitView>,
        file: &WorkflowFile,
        whom: &For<'_>,
    ) -> Result<(), Error> {
        match self.server.plan_file(view, &file.path, whom).await?.plans {
            Ok(evaluated) => {
                for workflow in &*evaluated.workflows {
                    self.plan(&file.path, &evaluated, workflow).await?;
                }
            }
            Err(problems) => self.is_invalid(file, problems),
        }
        Ok(())
    }

    fn is_invalid(&mut self, file: &WorkflowFile, problems: Vec<Diagnostic>) {
        self.invalid.insert(file.path.clone());
        let name = file.name().unwrap_or(&file.path).to_owned();
        self.log.invalid(WorkflowName { name: &name, file: &file.path }, problems.clone());
        self.content.plans.push(Entry {
            file: file.path.clone(),
            name,
            fate: Fate::Invalid(problems),
            change: PlanChange::Unchanged,
        });
    }

    async fn plan(
        &mut self,
        file: &str,
        evaluated: &Evaluated,
        workflow: &PlannedWorkflow,
    ) -> Result<(), Error> {
        let plan = &workflow.hashed.plan;
        self.names.insert(plan.name.clone());
        let named = WorkflowName { name: &plan.name, file };
        let (change, reaches) = self.before.change(file, plan);
        let conclusion = foreign::aside(|| conclude(&plan.triggers, &self.happening()));
        let fate = match conclusion {
            Conclusion::Skipped { reason, concerned } => {
                if concerned {
                    self.log.stopped(named, DispatchResult::Skipped, reason.clone());
                } else {
                    self.log.without_trigger(&plan.name);
                }
                if !concerned && change == PlanChange::Unchanged {
                    return Ok(());
                }
                self.skipped(plan, reason)
            }
            Conclusion::Runs { .. } => {
                if let Some(why) = self.why_paused(&plan.name) {
                    self.log.stopped(named, DispatchResult::Paused, why.clone());
                    Fate::Skipped(why)
                } else if let Some(why) = self.why_not_writer().await? {
                    // Not reported to the forge: the commit is the default branch's in any case.
                    self.log.stopped(named, DispatchResult::Refused, why);
                    return Ok(());
                } else {
                    let newly = self.before.is_known().then_some(reaches.as_slice());
                    self.submitted(named, (evaluated, workflow), newly).await?
                }
            }
        };
        let (file, name) = (file.to_owned(), plan.name.clone());
        self.content.add(Entry { file, name, fate, change }, &reaches);
        Ok(())
    }

    /// Starts the run of a plan, unless a maintainer must allow it first.
    async fn submitted(
        &mut self,
        named: WorkflowName<'_>,
        (evaluated, workflow): (&Evaluated, &PlannedWorkflow),
        newly: Option<&[Capability]>,
    ) -> Result<Fate, Error> {
        if let Some(why) = self.gate.why_held(&workflow.hashed.plan, newly) {
            self.log.stopped(named, DispatchResult::Held, why.clone());
            return Ok(Fate::Held(why));
        }
        self.fate_of_run(named, (evaluated, workflow), None).await
    }

    /// Makes the run of a plan. A checkout that cannot be made is the plan's own failure: others run.
    async fn fate_of_run(
        &mut self,
        named: WorkflowName<'_>,
        (evaluated, workflow): (&Evaluated, &PlannedWorkflow),
        remark: Option<&str>,
    ) -> Result<Fate, Error> {
        match self.submit(named, (evaluated, workflow)).await {
            Ok(id) => {
                self.log.run(named, &id, remark);
                Ok(Fate::Run(id))
            }
            Err(Error::Invalid(problems)) => {
                self.log.invalid(named, problems.clone());
                Ok(Fate::Invalid(problems))
            }
            Err(error) => Err(error),
        }
    }

    /// The pause of a workflow, in words, if one is in force.
    fn why_paused(&self, workflow: &str) -> Option<String> {
        let scope = PauseScope::Workflow;
        pauses::in_force(&self.pauses, &self.repo.name, workflow, scope).map(pauses::words)
    }

    fn happening(&self) -> Happening<'_> {
        Happening {
            event: &self.occasion.event,
            changed: match &self.changed {
                ChangedFiles::Unknown => Changed::Unknown,
                ChangedFiles::Known(files) => Changed::Files(files),
            },
            message: self.message.as_deref(),
            deleted: false,
        }
    }

    /// The reason that the person behind the event may start nothing; the forge is asked only once.
    async fn why_not_writer(&mut self) -> Result<Option<String>, Error> {
        if let Some(known) = &self.not_writer {
            return Ok(known.clone());
        }
        let occasion = self.occasion;
        let asked = self.server.why_not_writer(self.repo, &occasion.event, occasion.actor_id);
        let why = asked.await?;
        self.not_writer = Some(why.clone());
        Ok(why)
    }

    /// Makes the run of a plan; the same one however often the delivery is looked at.
    async fn submit(
        &self,
        named: WorkflowName<'_>,
        (evaluated, workflow): (&Evaluated, &PlannedWorkflow),
    ) -> Result<plue_plan::RunId, Error> {
        let delivery = self.delivery;
        let cause = format!("{} {} {}", delivery.forge, delivery.hook, delivery.id);
        let plan = format!("{} ({})", named.name, named.file);
        let id = self.server.id_of(&cause, &plan).await?;
        let wanted = Wanted {
            id: id.clone(),
            repo: self.repo,
            mirror: self.mirror,
            commit: self.commit,
            file: named.file,
            evaluated,
            workflow,
            event: self.occasion.event.clone(),
            inputs: Map::new(),
            traceparent: None,
        };
        self.server.submit_run(wanted).await?;
        Ok(id)
    }

    async fn end(mut self) -> Result<Reacted, Error> {
        self.names.extend(self.content.plans.iter().map(|entry| entry.name.clone()));
        self.content.plans.extend(self.before.gone(&self.names, &self.invalid));
        let (event, server) = (&self.occasion.event, self.server);
        let mut held = None;
        if self.content.plans.iter().any(|entry| matches!(entry.fate, Fate::Held(_))) {
            let notice = self.gate.notice(&self.repo.name, self.commit.as_str());
            self.content.notices.push(notice);
            held = Some(self.is_allowed);
        }
        server.put_report(self.repo, event, self.commit, &self.content).await?;
        let is_refused = matches!(self.not_writer, Some(Some(_)));
        Ok(Reacted { log: self.log, held, is_refused })
    }
}

async fn changed(
    mirror: &Mirror,
    repo: &RepoRow,
    occasion: &Occasion,
    commit: &CommitId,
) -> Result<ChangedFiles, Error> {
    let default = format!("refs/heads/{}", repo.default_branch);
    let event = &occasion.event;
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
    // The default branch is what others are compared with, not itself.
    let is_default = event.branch.as_deref() == Some(repo.default_branch.as_str());
    if is_default && before.is_none() {
        return Ok(ChangedFiles::Unknown);
    }
    let default_branch = (!is_default).then_some(default.as_str());
    let since = Since::Push { before: before.as_ref(), default_branch };
    Ok(mirror.changed_files(since, commit).await?)
}
