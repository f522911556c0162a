//! The plans that a pull request would change: those of the branch that it is to go into.

use std::collections::HashSet;

use plue_forge::{
    feedback::PlanChange,
    git::{CommitId, Mirror},
};
use plue_plan::{Event, Plan, capability::Capability};
use plue_planner::{Evaluated, PlannedWorkflow, Trust};
use plue_store::{RepoRow, ReportKey};

use crate::{
    error::Error,
    feedback::content::{Content, Entry, change, removed},
    plans::For,
    server::Server,
};

/// The plans before a change, by file.
#[derive(Debug, Default)]
pub(crate) struct Before {
    /// `None`: no comparison is needed.
    plans: Option<Vec<BasePlan>>,
}

/// A plan of the commit before a change.
#[derive(Debug, Clone)]
pub(crate) struct BasePlan {
    /// Path of the workflow file.
    pub(crate) file: String,
    /// All plans of the file.
    pub(crate) evaluated: Evaluated,
    index: usize,
}

// === impl BasePlan ===

impl BasePlan {
    /// The plan, with its hash.
    pub(crate) fn workflow(&self) -> Option<&PlannedWorkflow> {
        self.evaluated.workflows.get(self.index)
    }

    fn plan(&self) -> Option<&Plan> {
        self.workflow().map(|workflow| &workflow.hashed.plan)
    }
}

// === impl Before ===

impl Before {
    /// Whether it is known what there was.
    pub(crate) fn is_known(&self) -> bool {
        self.plans.is_some()
    }

    /// What a change does to a plan of a file, and what that lets it reach.
    pub(crate) fn change(&self, file: &str, now: &Plan) -> (PlanChange, Vec<Capability>) {
        let before = self.plans.as_ref().map(|plans| {
            let is_same = |one: &&BasePlan| one.plan().is_some_and(|plan| plan.name == now.name);
            let mut same = plans.iter().filter(is_same);
            // A file may move: then the name decides.
            let here = same.clone().find(|one| one.file == file);
            here.or_else(|| same.next()).and_then(BasePlan::plan)
        });
        change(before, now)
    }

    /// The plans whose names are not among these any more. A file that is invalid now has not lost
    /// its own.
    pub(crate) fn gone(&self, names: &HashSet<String>, invalid: &HashSet<String>) -> Vec<Entry> {
        let plans = self.plans.iter().flatten();
        let plans = plans.filter_map(|one| Some((&one.file, one.plan()?)));
        let gone = plans
            .filter(|(file, plan)| !names.contains(&plan.name) && !invalid.contains(file.as_str()));
        gone.map(|(file, plan)| removed(file, &plan.name)).collect()
    }

    /// The plans; empty if no comparison is needed.
    pub(crate) fn plans(&self) -> Vec<BasePlan> {
        self.plans.clone().unwrap_or_default()
    }
}

// === impl Server ===

impl Server {
    /// The plans of the commit that a pull request would change, made for the same event.
    pub(crate) async fn before(
        &self,
        (repo, mirror): (&RepoRow, &Mirror),
        event: &Event,
        whom: &For<'_>,
    ) -> Result<Before, Error> {
        let Some(pr) = &event.pull_request else { return Ok(Before::default()) };
        // A trusted event without forge reports needs no comparison: nothing is evaluated for it.
        if whom.trust == Trust::Own && self.store().outlet(whom.repo).await?.is_none() {
            return Ok(Before::default());
        }
        let base = match CommitId::new(&pr.base.sha) {
            // A base commit that no branch leads to is not trusted: the head of its branch counts.
            Ok(base) if mirror.has(&base).await? && mirror.is_published(&base).await? => Some(base),
            Ok(_) | Err(_) => mirror.resolve(&format!("refs/heads/{}", pr.base.git_ref)).await?,
        };
        let Some(base) = base else { return Ok(Before::default()) };
        self.complete(repo, mirror, &base).await?;
        let view = self.view(mirror.folder(), &base, None).await?;
        // The content of the base branch is trusted: a writer has let it in.
        let whom = For { trust: Trust::Own, ..whom.clone() };
        let mut plans = Vec::new();
        for file in self.workflow_files(&view).await? {
            let planned = self.plan_file(&view, &file.path, &whom).await?;
            let Ok(evaluated) = planned.plans else { continue };
            plans.extend((0..evaluated.workflows.len()).map(|index| BasePlan {
                file: file.path.clone(),
                evaluated: evaluated.clone(),
                index,
            }));
        }
        Ok(Before { plans: Some(plans) })
    }

    /// Puts down what there is to tell of a commit, if its forge is told anything.
    pub(crate) async fn put_report(
        &self,
        repo: &RepoRow,
        event: &Event,
        commit: &CommitId,
        content: &Content,
    ) -> Result<(), Error> {
        if content.plans.is_empty() || self.store().outlet(&repo.name).await?.is_none() {
            return Ok(());
        }
        let key = ReportKey {
            repo: repo.name.clone(),
            sha: commit.to_string(),
            pull_request: event.pull_request.as_ref().map_or(0, |pr| pr.number),
        };
        let content = serde_json::to_value(content).unwrap_or_default();
        Ok(self.store().put_report(&key, &content, self.parts().clock.now()).await?)
    }
}
