//! What a server does about an event: each workflow file of its commit is planned, each plan matched,
//! what fires is submitted, and all of it is put down for the forge to be told.

use std::{collections::HashSet, sync::Arc};

use plue_forge::{
    feedback::PlanChange,
    git::{ChangedFiles, CommitId, Mirror, Since},
};
use plue_plan::Diagnostic;
use plue_planner::{CommitView, Evaluated, PlannedWorkflow, Trust, WorkflowFile};
use plue_registry::{Changed, Conclusion, Happening, conclude};
use plue_store::{DeliveryRow, RepoRow};
use serde_json::Map;

use crate::{
    error::Error,
    feedback::{Before, Content, Entry, Fate},
    gate::Gate,
    occasion::Occasion,
    plans::For,
    server::Server,
    submit::Wanted,
};

/// What was done about an event.
pub(crate) struct Reacted {
    /// A line for each plan.
    pub(crate) lines: Vec<String>,
    /// Some plans wait for a maintainer; and whether he was known to have allowed the commit.
    pub(crate) held: Option<bool>,
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
    /// A line for each plan, for whoever looks at the delivery.
    lines: Vec<String>,
    /// What of it may run.
    gate: Gate,
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
            None => mirror.message(commit).await.ok(),
        };
        let trust = if occasion.is_stranger { Trust::Untrusted } else { Trust::Own };
        let whom = For { repo: &repo.name, event: Some(event), inputs: Map::new(), trust };
        let before = self.before((repo, mirror), event, &whom).await?;
        let gate = self.gate(repo, occasion, commit).await?;
        let is_pull_request = event.pull_request.is_some();
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
            lines: Vec::new(),
            gate,
            names: HashSet::new(),
            invalid: HashSet::new(),
        };
        for file in &files {
            reaction.file(&view, file, &whom).await?;
        }
        reaction.end().await
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
        self.content.plans.push(Entry {
            file: file.path.clone(),
            name: file.name().unwrap_or(&file.path).to_owned(),
            fate: Fate::Invalid(problems.clone()),
            change: PlanChange::Unchanged,
        });
        self.lines.push(format!("{}: {}", file.path, Error::Invalid(problems)));
    }

    async fn plan(
        &mut self,
        file: &str,
        evaluated: &Evaluated,
        workflow: &PlannedWorkflow,
    ) -> Result<(), Error> {
        let plan = &workflow.sealed.plan;
        self.names.insert(plan.name.clone());
        let name = format!("{} ({file})", plan.name);
        let (change, reaches) = self.before.change(file, plan);
        let happening = Happening {
            event: &self.occasion.event,
            changed: match &self.changed {
                ChangedFiles::Unknown => Changed::Unknown,
                ChangedFiles::Known(files) => Changed::Files(files),
            },
            message: self.message.as_deref(),
            deleted: false,
        };
        let fate = match conclude(&plan.triggers, &happening) {
            Conclusion::Skipped { reason, concerned } => {
                self.lines.push(format!("{name}: skipped, {reason}"));
                if !concerned && change == PlanChange::Unchanged {
                    return Ok(());
                }
                Fate::Skipped(reason)
            }
            Conclusion::Runs { .. } => {
                let newly = self.before.is_known().then_some(reaches.as_slice());
                if let Some(why) = self.gate.why_held(plan, newly) {
                    self.lines.push(format!("{name}: planned, held: {why}"));
                    Fate::Held(why)
                } else {
                    let id = self.submit(file, &name, (evaluated, workflow)).await?;
                    self.lines.push(format!("{name}: run {id}"));
                    Fate::Run(id)
                }
            }
        };
        let (file, name) = (file.to_owned(), plan.name.clone());
        self.content.add(Entry { file, name, fate, change }, &reaches);
        Ok(())
    }

    /// Makes the run of a plan; the same one however often the delivery is looked at.
    async fn submit(
        &self,
        file: &str,
        name: &str,
        (evaluated, workflow): (&Evaluated, &PlannedWorkflow),
    ) -> Result<plue_plan::RunId, Error> {
        let delivery = self.delivery;
        let cause = format!("{} {} {}", delivery.forge, delivery.hook, delivery.id);
        let id = self.server.id_of(&cause, name).await?;
        let wanted = Wanted {
            id: id.clone(),
            mirror: self.mirror,
            commit: self.commit,
            file,
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
        self.content.plans.extend(self.before.gone(&self.names, &self.invalid));
        let (event, server) = (&self.occasion.event, self.server);
        let mut held = None;
        if self.content.plans.iter().any(|entry| matches!(entry.fate, Fate::Held(_))) {
            let notice = self.gate.notice(&self.repo.name, self.commit.as_str());
            self.content.notices.push(notice);
            held = Some(self.gate.is_allowed());
        }
        server.put_report(self.repo, event, self.commit, &self.content).await?;
        Ok(Reacted { lines: self.lines, held })
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
    let default_branch = (!is_default).then_some(default.as_str());
    let since = Since::Push { before: before.as_ref(), default_branch };
    Ok(mirror.changed_files(since, commit).await?)
}
