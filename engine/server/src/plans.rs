//! The plans of a commit. Each workflow file is evaluated in a jail of its own, so that a broken file does
//! not affect the others.

use std::{path::Path, sync::Arc};

use plue_forge::git::CommitId;
use plue_plan::{Diagnostic, Event};
use plue_planner::{
    CommitView, Evaluated, GitCommit, PlanError, PlanRequest, Planner, Trust, WorkflowFile,
    discover,
};
use plue_store::{RegisteredRow, Store};
use serde_json::{Map, Value as Json};

use crate::{
    commit_cache::{CommitCache, CommitKey},
    error::Error,
    process::Process,
};

/// The repository, event, inputs and trust that a commit is planned with.
#[derive(Debug, Clone)]
pub(crate) struct PlanContext<'a> {
    pub(crate) repo: &'a str,
    pub(crate) event: Option<&'a Event>,
    pub(crate) inputs: Map<String, Json>,
    pub(crate) trust: Trust,
}

/// Plans workflow files of commits. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Plans {
    pub(crate) store: Store,
    pub(crate) planner: Planner,
    pub(crate) commits: Arc<CommitCache>,
    pub(crate) process: Process,
}

// === impl Plans ===

impl Plans {
    /// The tree of a commit as workflow files read it; `base` decides which files count as changed.
    pub(crate) async fn view(
        &self,
        folder: &Path,
        commit: &CommitId,
        base: Option<&str>,
    ) -> Result<Arc<dyn CommitView>, Error> {
        let base = base.map(str::to_owned);
        let key =
            CommitKey { folder: folder.to_owned(), commit: commit.clone(), base: base.clone() };
        if let Some(view) = self.commits.view(&key) {
            return Ok(view);
        }
        let (folder, commit) = (folder.to_owned(), commit.to_string());
        let opened = self.process.tasks.spawn_blocking(move || {
            let open = || GitCommit::open(&folder, &commit);
            // Without its base, every file of a commit counts as changed.
            match base.map(|base| open()?.changed_since(&base)) {
                None => Ok((open()?, true)),
                Some(Ok(view)) => Ok((view, true)),
                // Not cached: the base may be fetched later.
                Some(Err(_)) => Ok((open()?, false)),
            }
        });
        let view = opened.await.map_err(|_| Error::Stopped)?;
        let (view, is_cacheable): (GitCommit, bool) =
            view.map_err(|error: plue_planner::ViewError| plue_planner::Error::from(error))?;
        let view: Arc<dyn CommitView> = Arc::new(view);
        if is_cacheable {
            self.commits.put_view(key, Arc::clone(&view));
        }
        Ok(view)
    }

    /// All workflow files of a commit.
    pub(crate) async fn workflow_files(
        &self,
        view: &Arc<dyn CommitView>,
    ) -> Result<Vec<WorkflowFile>, Error> {
        let view = Arc::clone(view);
        let found = self.process.tasks.spawn_blocking(move || discover(&*view));
        let found = found.await.map_err(|_| Error::Stopped)?;
        Ok(found.map_err(plue_planner::Error::from)?.files)
    }

    /// Plans one workflow file; `Ok(Err(_))`: the file is invalid.
    pub(crate) async fn plan_file(
        &self,
        view: &Arc<dyn CommitView>,
        file: &str,
        context: &PlanContext<'_>,
    ) -> Result<Result<Evaluated, Vec<Diagnostic>>, Error> {
        let request = PlanRequest {
            view: Arc::clone(view),
            entry: file.to_owned(),
            event: context.event.cloned(),
            inputs: context.inputs.clone(),
            trust: context.trust,
            repository: context.repo.to_owned(),
        };
        match self.planner.plan(request).await {
            Ok(evaluated) => Ok(Ok(evaluated)),
            Err(PlanError::Invalid(problems)) => Ok(Err(problems)),
            Err(PlanError::Infrastructure(error)) => Err(error.into()),
        }
    }

    /// Registers the plans of the default branch's head in the place of the earlier ones, atomically.
    /// Invalid files have no plans.
    pub(crate) async fn register(
        &self,
        repo: &str,
        commit: &CommitId,
        (view, files): (&Arc<dyn CommitView>, &[WorkflowFile]),
    ) -> Result<(), Error> {
        let context = PlanContext { repo, event: None, inputs: Map::new(), trust: Trust::Own };
        let mut rows: Vec<RegisteredRow> = Vec::new();
        for file in files {
            let Ok(evaluated) = self.plan_file(view, &file.path, &context).await? else { continue };
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
        let now = self.process.clock.now();
        Ok(self.store.repos().register_plans(repo, rows, now).await?)
    }
}
