//! Roles of `llm` steps that have no file in the repository.

use plue_plan::{Action, Diagnostic};
use plue_planner::{CommitView, PlannedWorkflow, ViewError};

use crate::failure::codes;

/// A warning for each step whose role is not in `.plue/roles/`. `plue run` refuses these plans.
///
/// # Errors
/// The repository cannot be read.
pub fn missing_roles(
    workflow: &PlannedWorkflow,
    view: &dyn CommitView,
) -> Result<Vec<Diagnostic>, ViewError> {
    let mut missing = Vec::new();
    for step in workflow.sealed.plan.all_steps() {
        let Action::Llm(llm) = &step.action else { continue };
        let Some(role) = &llm.role else { continue };
        let path = format!(".plue/roles/{role}.md");
        if !view.exists(&path)? {
            let message = format!("step `{}` has the role `{role}`, which has no file", step.id);
            let spans = workflow.places.steps.get(step.id.as_str());
            missing.push(
                Diagnostic::warning(codes::ROLE, message)
                    .at(spans.and_then(|spans| spans.first()).cloned())
                    .hint(format!("write {path}")),
            );
        }
    }
    Ok(missing)
}
