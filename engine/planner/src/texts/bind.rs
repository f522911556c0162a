//! Texts named by the `llm` steps of a plan, resolved and checked.

use plue_plan::{
    Action, Diagnostic, Plan, Step,
    action::{Llm, Prompt},
    validate::SourceMap,
};
use plue_prompts::{PromptFile, Role};
use serde_json::Map;

use super::{TextKind, TextLibrary, Texts};
use crate::view::ViewError;

/// Adds all texts that the plan names to `texts`, and reports every problem: missing or broken
/// prompts, inputs that do not fit. A role without a file is `None` in `texts` and not a problem
/// here, because a plan may be made before its roles are written.
///
/// # Errors
/// The commit cannot be read.
pub(crate) fn bind(
    library: TextLibrary<'_>,
    plan: &Plan,
    places: &SourceMap,
    texts: &mut Texts,
) -> Result<Vec<Diagnostic>, ViewError> {
    let mut problems = Vec::new();
    for step in plan.all_steps() {
        let Action::Llm(llm) = &step.action else { continue };
        let mut binder = Binder { library, step, places, texts, problems: &mut problems };
        binder.step(llm)?;
    }
    // Two steps with the same broken prompt are one problem.
    let mut seen = Vec::new();
    problems.retain(|problem| {
        let new = !seen.contains(problem);
        if new {
            seen.push(problem.clone());
        }
        new
    });
    Ok(problems)
}

struct Binder<'b> {
    library: TextLibrary<'b>,
    step: &'b Step,
    places: &'b SourceMap,
    texts: &'b mut Texts,
    problems: &'b mut Vec<Diagnostic>,
}

// === impl Binder ===

impl Binder<'_> {
    fn step(&mut self, llm: &Llm) -> Result<(), ViewError> {
        let prompt = match &llm.prompt {
            Prompt::Text(_) => None,
            Prompt::File(file) => self.prompt(&file.name)?,
        };
        if let (Some(prompt), Prompt::File(file)) = (&prompt, &llm.prompt) {
            let (mut literals, mut open) = (Map::new(), Vec::new());
            for (name, value) in &file.inputs {
                if value.is_constant() {
                    literals.insert(name.clone(), value.0.clone());
                } else {
                    open.push(name.as_str());
                }
            }
            let found = prompt.check_literals(&literals, &open);
            let about = format!("prompt `{}`", file.name);
            let homed: Vec<_> = found.into_iter().map(|found| self.homed(found, &about)).collect();
            self.problems.extend(homed);
        }
        let settings = prompt.as_ref().map(PromptFile::settings);
        let role = settings.and_then(|settings| settings.role.as_deref());
        let role = match llm.role.as_deref().or(role) {
            Some(role) => self.role(role)?,
            None => None,
        };
        let of_role = role.as_ref().and_then(|role| role.settings().tools.as_ref());
        let tools = llm.tools.as_ref().or(settings.and_then(|it| it.tools.as_ref())).or(of_role);
        for tool in tools.into_iter().flatten() {
            self.tool(tool)?;
        }
        Ok(())
    }

    /// The role or prompt of an agent that a tool starts: `delegate(role)`, `prompt(name)`. Agents
    /// that those may start are among the tools of the step, too.
    fn tool(&mut self, tool: &str) -> Result<(), ViewError> {
        let Some((kind, rest)) = tool.split_once('(') else { return Ok(()) };
        let Some(name) = rest.strip_suffix(')').map(str::trim) else { return Ok(()) };
        // Names that cannot be one are refused with the step.
        if plue_plan::id::check_identifier(name).is_err() {
            return Ok(());
        }
        match kind {
            "delegate" => drop(self.role(name)?),
            "prompt" => {
                let prompt = self.prompt(name)?;
                if let Some(role) = prompt.and_then(|prompt| prompt.settings().role.clone()) {
                    self.role(&role)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A problem of what the step gives has the step's place; one of the file has its own.
    fn homed(&self, mut problem: Diagnostic, about: &str) -> Diagnostic {
        if problem.span.is_none() {
            problem.message = format!("step `{}`, {about}: {}", self.step.id, problem.message);
            let spans = self.places.steps.get(self.step.id.as_str());
            problem.span = spans.and_then(|spans| spans.first()).cloned();
            problem.span = problem.span.or_else(|| self.places.plan.clone());
        }
        problem
    }

    fn prompt(&mut self, name: &str) -> Result<Option<PromptFile>, ViewError> {
        let text = match self.library.find(TextKind::Prompt, name)? {
            None => {
                let unknown = self.library.unknown_prompt(name)?;
                let unknown = self.homed(unknown, "prompt");
                self.problems.push(unknown);
                return Ok(None);
            }
            Some(Err(problem)) => {
                self.problems.push(problem);
                return Ok(None);
            }
            Some(Ok(text)) => text,
        };
        let parsed = PromptFile::parse(&text.file, &text.text);
        self.texts.insert(TextKind::Prompt.key(name), Some(text));
        let prompt = match parsed {
            Ok(prompt) => prompt,
            Err(found) => {
                self.problems.extend(found);
                return Ok(None);
            }
        };
        self.problems.extend(prompt.warnings().iter().cloned());
        let (partials, found) = self.library.partials(&prompt, self.texts)?;
        if found.is_empty() {
            self.problems.extend(prompt.check_partials(&partials));
        }
        self.problems.extend(found);
        Ok(Some(prompt))
    }

    /// The role, if its file can be used.
    fn role(&mut self, name: &str) -> Result<Option<Role>, ViewError> {
        let key = TextKind::Role.key(name);
        if let Some(known) = self.texts.get(&key) {
            let known = known.as_ref();
            return Ok(known.and_then(|text| Role::parse(&text.file, &text.text).ok()));
        }
        match self.library.find(TextKind::Role, name)? {
            None => {
                self.texts.insert(key, None);
                Ok(None)
            }
            Some(Err(problem)) => {
                self.problems.push(problem);
                Ok(None)
            }
            Some(Ok(text)) => {
                let parsed = Role::parse(&text.file, &text.text);
                self.texts.insert(key, Some(text));
                match parsed {
                    Ok(role) => {
                        self.problems.extend(role.warnings().iter().cloned());
                        Ok(Some(role))
                    }
                    Err(found) => {
                        self.problems.extend(found);
                        Ok(None)
                    }
                }
            }
        }
    }
}
