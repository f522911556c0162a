//! Roles of `llm` steps that have no file, neither in the repository nor with plue.

use plue_plan::{
    Action, Diagnostic,
    action::{Llm, Prompt},
};
use plue_prompts::PromptFile;

use super::codes;
use crate::{
    PlannedWorkflow,
    texts::{TextKind, Texts},
};

/// A warning for each step whose role has no file. `plue run` refuses these plans. `texts` is what
/// the planner found for the plan.
#[must_use]
pub fn missing_roles(workflow: &PlannedWorkflow, texts: &Texts) -> Vec<Diagnostic> {
    let mut missing = Vec::new();
    for step in workflow.hashed.plan.all_steps() {
        let Action::Llm(llm) = &step.action else { continue };
        let Some(role) = role_of(llm, texts) else { continue };
        if texts.get(&TextKind::Role.key(&role)).is_none_or(Option::is_some) {
            continue;
        }
        let message = format!("step `{}` has the role `{role}`, which has no file", step.id);
        let spans = workflow.places.steps.get(step.id.as_str());
        let known = plue_prompts::roles().names();
        let near = plue_plan::validate::did_you_mean(&role, known);
        let write = format!("write {}/{role}.md", TextKind::Role.folder());
        missing.push(
            Diagnostic::warning(codes::ROLE, message)
                .at(spans.and_then(|spans| spans.first()).cloned())
                .hint(match near {
                    Some(near) => format!("did you mean `{near}`? Else {write}"),
                    None => format!("{write}; `plue agent list` shows those that come with plue"),
                }),
        );
    }
    missing
}

/// The step's role, else the one that its prompt names.
fn role_of(llm: &Llm, texts: &Texts) -> Option<String> {
    if llm.role.is_some() {
        return llm.role.clone();
    }
    let Prompt::File(file) = &llm.prompt else { return None };
    let text = texts.get(&TextKind::Prompt.key(&file.name))?.as_ref()?;
    PromptFile::parse(&text.file, &text.text).ok()?.settings().role.clone()
}
