//! The plans of a pull request's base branch, for the comparison with those of its head.

use std::collections::HashSet;

use plue_forge::{
    feedback::PlanChange,
    git::{CommitId, Mirror},
};
use plue_plan::{Event, Plan, capability::Capability};
use plue_planner::{Evaluated, PlannedWorkflow, Trust};
use plue_store::RepoRow;

use super::dispatch::Dispatcher;
use crate::{
    error::Error,
    notifier::{
        ReportEntry,
        report_content::{change, removed},
    },
    plans::PlanContext,
};

/// The plans of the base branch.
#[derive(Debug, Default)]
pub(crate) struct BasePlans {
    /// `None`: the base was not planned.
    plans: Option<Vec<BasePlan>>,
}

/// A plan of the base branch.
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

// === impl BasePlans ===

impl BasePlans {
    /// Plans the base of a pull request for the same event.
    pub(super) async fn read(
        dispatcher: &Dispatcher,
        (repo, mirror): (&RepoRow, &Mirror),
        event: &Event,
        context: &PlanContext<'_>,
    ) -> Result<Self, Error> {
        let Dispatcher { store, mirrors, plans, .. } = dispatcher;
        let Some(pr) = &event.pull_request else { return Ok(Self::default()) };
        // Only forge reports and the gate of untrusted events need the comparison.
        if context.trust == Trust::Own
            && store.reports().forge_reporter(context.repo).await?.is_none()
        {
            return Ok(Self::default());
        }
        let base = match CommitId::new(&pr.base.sha) {
            // A base commit on no branch is not trusted: the head of its branch is used instead.
            Ok(base) if mirror.has(&base).await? && mirror.is_published(&base).await? => Some(base),
            Ok(_) | Err(_) => mirror.resolve(&format!("refs/heads/{}", pr.base.git_ref)).await?,
        };
        let Some(base) = base else { return Ok(Self::default()) };
        mirrors.complete(repo, mirror, &base).await?;
        let view = plans.view(mirror.folder(), &base, None).await?;
        // The base branch is trusted: an actor with write access has merged it.
        let context = PlanContext { trust: Trust::Own, ..context.clone() };
        let mut found = Vec::new();
        for file in plans.workflow_files(&view).await? {
            let Ok(evaluated) = plans.plan_file(&view, &file.path, &context).await? else {
                continue;
            };
            found.extend((0..evaluated.workflows.len()).map(|index| BasePlan {
                file: file.path.clone(),
                evaluated: evaluated.clone(),
                index,
            }));
        }
        Ok(Self { plans: Some(found) })
    }

    /// Whether the base was planned.
    pub(crate) fn is_compared(&self) -> bool {
        self.plans.is_some()
    }

    /// The change of a plan against the base, and the capabilities that it gains.
    pub(crate) fn change(&self, file: &str, now: &Plan) -> (PlanChange, Vec<Capability>) {
        let before = self.plans.as_ref().map(|plans| {
            let is_same = |one: &&BasePlan| one.plan().is_some_and(|plan| plan.name == now.name);
            let mut same = plans.iter().filter(is_same);
            // The file may have moved: then the name decides.
            let here = same.clone().find(|one| one.file == file);
            here.or_else(|| same.next()).and_then(BasePlan::plan)
        });
        change(before, now)
    }

    /// Entries for the plans whose names are gone. A file that is invalid now has not removed its plans.
    pub(crate) fn removed(
        &self,
        names: &HashSet<String>,
        invalid: &HashSet<String>,
    ) -> Vec<ReportEntry> {
        let plans = self.plans.iter().flatten();
        let plans = plans.filter_map(|one| Some((&one.file, one.plan()?)));
        let gone = plans
            .filter(|(file, plan)| !names.contains(&plan.name) && !invalid.contains(file.as_str()));
        gone.map(|(file, plan)| removed(file, &plan.name)).collect()
    }

    /// The plans; empty without a comparison.
    pub(crate) fn plans(&self) -> Vec<BasePlan> {
        self.plans.clone().unwrap_or_default()
    }
}
