//! The plans of a commit: each workflow file evaluated in the jail, each by itself, so that a broken
//! one does not keep the others from running.

use std::{path::Path, sync::Arc};

use plue_forge::git::CommitId;
use plue_plan::{Diagnostic, Event};
use plue_planner::{
    CommitView, Evaluated, GitCommit, PlanError, PlanRequest, Trust, WorkflowFile, discover,
};
use plue_store::RegisteredRow;
use serde_json::{Map, Value as Json};

use crate::{error::Error, known::Key, server::Server};

/// A workflow file of a commit, planned.
#[derive(Debug)]
pub struct PlannedFile {
    /// Its path.
    pub file: String,
    /// Its plans, or what is wrong with it.
    pub plans: Result<Evaluated, Vec<Diagnostic>>,
}

/// Whom a commit is planned for.
#[derive(Debug, Clone)]
pub(crate) struct For<'a> {
    pub(crate) repo: &'a str,
    pub(crate) event: Option<&'a Event>,
    pub(crate) inputs: Map<String, Json>,
    pub(crate) trust: Trust,
}

impl Server {
    /// A commit as workflow files see it.
    pub(crate) async fn view(
        &self,
        folder: &Path,
        commit: &CommitId,
        base: Option<&str>,
    ) -> Result<Arc<dyn CommitView>, Error> {
        let base = base.map(str::to_owned);
        let key = Key { folder: folder.to_owned(), commit: commit.clone(), base: base.clone() };
        if let Some(view) = self.known().view(&key) {
            return Ok(view);
        }
        let (folder, commit) = (folder.to_owned(), commit.to_string());
        let opened = self.parts().tasks.spawn_blocking(move || {
            let open = || GitCommit::open(&folder, &commit);
            // A commit that was never fetched is no base: then everything counts as changed.
            match base.map(|base| open()?.changed_since(&base)) {
                None => Ok((open()?, true)),
                Some(Ok(view)) => Ok((view, true)),
                // It may be fetched later: this is not what is known of the two.
                Some(Err(_)) => Ok((open()?, false)),
            }
        });
        let view = opened.await.map_err(|_| Error::Stopped)?;
        let (view, is_known): (GitCommit, bool) =
            view.map_err(|error: plue_planner::ViewError| plue_planner::Error::from(error))?;
        let view: Arc<dyn CommitView> = Arc::new(view);
        if is_known {
            self.known().put_view(key, Arc::clone(&view));
        }
        Ok(view)
    }

    /// All workflow files of a commit.
    pub(crate) async fn workflow_files(
        &self,
        view: &Arc<dyn CommitView>,
    ) -> Result<Vec<WorkflowFile>, Error> {
        let view = Arc::clone(view);
        let found = self.parts().tasks.spawn_blocking(move || discover(&*view));
        let found = found.await.map_err(|_| Error::Stopped)?;
        Ok(found.map_err(plue_planner::Error::from)?.files)
    }

    /// One workflow file, planned.
    pub(crate) async fn plan_file(
        &self,
        view: &Arc<dyn CommitView>,
        file: &str,
        whom: &For<'_>,
    ) -> Result<PlannedFile, Error> {
        let request = PlanRequest {
            view: Arc::clone(view),
            entry: file.to_owned(),
            event: whom.event.cloned(),
            inputs: whom.inputs.clone(),
            trust: whom.trust,
            repository: whom.repo.to_owned(),
        };
        let plans = match self.parts().planner.plan(request).await {
            Ok(evaluated) => Ok(evaluated),
            Err(PlanError::Invalid(problems)) => Err(problems),
            Err(PlanError::Infrastructure(error)) => return Err(error.into()),
        };
        Ok(PlannedFile { file: file.to_owned(), plans })
    }

    /// Registers the plans of the head of the default branch: all of the commit, or what was there
    /// before stays. Broken files have no plans.
    pub(crate) async fn register(
        &self,
        repo: &str,
        commit: &CommitId,
        (view, files): (&Arc<dyn CommitView>, &[WorkflowFile]),
    ) -> Result<(), Error> {
        let whom = For { repo, event: None, inputs: Map::new(), trust: Trust::Own };
        let mut rows: Vec<RegisteredRow> = Vec::new();
        for file in files {
            let planned = self.plan_file(view, &file.path, &whom).await?;
            let Ok(evaluated) = planned.plans else { continue };
            rows.extend(evaluated.workflows.iter().map(|workflow| RegisteredRow {
                repo: repo.to_owned(),
                file: file.path.clone(),
                workflow: workflow.hashed.plan.name.clone(),
                sha: commit.to_string(),
                plan: workflow.hashed.hash,
                triggers: workflow.hashed.plan.triggers.clone(),
            }));
        }
        rows.dedup_by(|a, b| (&a.file, &a.workflow) == (&b.file, &b.workflow));
        let now = self.parts().clock.now();
        Ok(self.store().register_plans(repo, rows, now).await?)
    }
}
