//! Workflows by name, for child runs: evaluated in the repository of the parent when its step begins,
//! with the parent's event and the inputs that the step gives.

use std::{path::PathBuf, sync::Arc};

use plue_executor::perform::child::{ChildPlan, ChildPlanned, ChildRequest, Workflows};
use plue_plan::Diagnostic;
use plue_planner::{
    CommitView, Options, PlanError, PlanRequest, Planner, Rate, Trust, WorkTree, WorkflowFile,
};
use plue_runtime::{Clock, Tasks};

use crate::{app::App, sources};

/// Parts of a planner; evaluators start with the first request.
#[derive(Debug)]
pub struct Children {
    evaluator: Options,
    /// Of a server's runs.
    workspaces: PathBuf,
}

// === impl Children ===

impl Children {
    /// Makes plans with this invocation's evaluator.
    pub fn new(app: &App) -> Self {
        Self {
            evaluator: sources::evaluator(app),
            workspaces: app.loaded.config.state_dir.join("workspaces"),
        }
    }

    fn planner(&self) -> Planner {
        Planner::new(self.evaluator.clone(), Rate::default(), Clock::real(), Tasks::new())
    }
}

impl Workflows for Children {
    fn plan(&self, request: ChildRequest) -> ChildPlanned {
        let planner = self.planner();
        // Steps may have written to the repository of a workspace.
        let tree = match request.repository.starts_with(&self.workspaces) {
            true => WorkTree::plain(&request.repository),
            false => WorkTree::new(&request.repository),
        };
        Box::pin(async move { plan(&planner, Arc::new(tree), request).await })
    }
}

async fn plan(
    planner: &Planner,
    view: Arc<dyn CommitView>,
    request: ChildRequest,
) -> Result<ChildPlan, String> {
    let repository = request.repository.display().to_string();
    let name = request.name;
    let found = planner.find(&view, &name, Trust::Own, &repository).await;
    let WorkflowFile { path, .. } = found.map_err(|error| message(&name, &error))?;
    let evaluated = planner
        .plan(PlanRequest {
            view,
            entry: path.clone(),
            event: Some(request.event),
            inputs: request.inputs.into_iter().collect(),
            trust: Trust::Own,
            repository,
        })
        .await
        .map_err(|error| message(&name, &error))?;
    // A file with one plan goes by the name of the file too.
    let found = match &*evaluated.workflows {
        [one] => Some(one),
        several => several.iter().find(|workflow| workflow.hashed.plan.name == name),
    };
    let found = found.ok_or_else(|| format!("{path} has no plan `{name}`"))?;
    Ok(ChildPlan { plan: found.hashed.clone(), source: path })
}

fn message(name: &str, error: &PlanError) -> String {
    match error {
        PlanError::Invalid(problems) => {
            let one = |problem: &Diagnostic| format!("{} {}", problem.code, problem.message);
            let problems: Vec<String> = problems.iter().take(3).map(one).collect();
            format!("workflow `{name}`: {}", problems.join("; "))
        }
        other => format!("workflow `{name}`: {other}"),
    }
}
