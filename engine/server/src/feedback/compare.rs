//! The plans that a pull request would change: those of the branch that it is to go into.

use std::collections::HashSet;

use plue_forge::{
    feedback::PlanChange,
    git::{CommitId, Mirror},
};
use plue_plan::{Event, Plan, capability::Capability};
use plue_planner::Trust;
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
    /// None: nobody compares.
    plans: Option<Vec<(String, Plan)>>,
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
            let mut same = plans.iter().filter(|(_, plan)| plan.name == now.name);
            // A file may move: then the name decides.
            let here = same.clone().find(|(path, _)| path == file);
            here.or_else(|| same.next()).map(|(_, plan)| plan)
        });
        change(before, now)
    }

    /// The plans whose names are not among these any more. A file that is invalid now has not lost
    /// its own.
    pub(crate) fn gone(&self, names: &HashSet<String>, invalid: &HashSet<String>) -> Vec<Entry> {
        let plans = self.plans.iter().flatten();
        let gone = plans
            .filter(|(file, plan)| !names.contains(&plan.name) && !invalid.contains(file.as_str()));
        gone.map(|(file, plan)| removed(file, &plan.name)).collect()
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
        // Nobody is told, and nobody asks what is new: then nothing is evaluated for it.
        if whom.trust == Trust::Own && self.store().outlet(whom.repo).await?.is_none() {
            return Ok(Before::default());
        }
        let base = match CommitId::new(&pr.base.sha) {
            Ok(base) if mirror.has(&base).await? => Some(base),
            Ok(_) | Err(_) => mirror.resolve(&format!("refs/heads/{}", pr.base.git_ref)).await?,
        };
        let Some(base) = base else { return Ok(Before::default()) };
        self.complete(repo, mirror, &base).await?;
        let view = self.view(mirror.folder(), &base, None).await?;
        // What is in the branch was let in by somebody.
        let whom = For { trust: Trust::Own, ..whom.clone() };
        let mut plans = Vec::new();
        for file in self.workflow_files(&view).await? {
            let planned = self.plan_file(&view, &file.path, &whom).await?;
            let evaluated = planned.plans.ok();
            let found = evaluated.iter().flat_map(|evaluated| evaluated.workflows.iter());
            plans.extend(found.map(|one| (file.path.clone(), one.sealed.plan.clone())));
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
