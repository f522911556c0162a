//! The template `pipeline`: agents one after the other, as many as are asked for.

use std::fmt::Write as _;

use super::{Language, quoted};
use crate::failure::Failure;

/// The pipeline of the source: analyze, design, implement.
const DEFAULT: [&str; 3] = [
    "analyze:product_manager:Analyze requirements",
    "design:coder:Design solution",
    "implement:coder:Implement code",
];

struct Stage {
    id: String,
    role: String,
    task: String,
}

/// The text of a pipeline of these steps, each `ID:ROLE:TASK`.
pub(super) fn text(language: Language, steps: &[String]) -> Result<String, Failure> {
    let default: Vec<String> = DEFAULT.map(str::to_owned).to_vec();
    let steps = if steps.is_empty() { &default } else { steps };
    let mut stages: Vec<Stage> = Vec::new();
    for step in steps {
        let stage = stage(step)?;
        if stages.iter().any(|other| other.id == stage.id) {
            return Err(Failure::usage(format!("two steps are called `{}`", stage.id)));
        }
        stages.push(stage);
    }
    Ok(match language {
        Language::Python => python(&stages),
        Language::Yaml => yaml(&stages),
    })
}

fn stage(step: &str) -> Result<Stage, Failure> {
    let mut parts = step.splitn(3, ':');
    let (Some(id), Some(role), Some(task)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(Failure::usage(format!("--step {step}: expected ID:ROLE:TASK")));
    };
    for (what, name) in [("an id", id), ("a role", role)] {
        if let Err(error) = plue_plan::id::check_identifier(name) {
            return Err(Failure::usage(format!("--step {step}: {name:?} is not {what}: {error}")));
        }
    }
    if task.trim().is_empty() {
        return Err(Failure::usage(format!("--step {step}: the task is empty")));
    }
    Ok(Stage { id: id.to_owned(), role: role.to_owned(), task: quoted("step", task)? })
}

fn python(stages: &[Stage]) -> String {
    let mut text = String::from(
        "# Agents one after the other; each is given what the one before it put out.\n\
         STAGES = [\n",
    );
    for Stage { id, role, task } in stages {
        let _infallible = writeln!(text, "    (\"{id}\", \"{role}\", \"{task}\"),");
    }
    text + r#"]


def workflow():
    steps = []
    for id, role, task in STAGES:
        before = steps[-1] if steps else None
        prompt = Prompt("task", task=task, before=before.output()) if before else task
        steps.append(Step.llm(id, prompt, role=role, depends_on=[before] if before else []))
    return Plan(
        name="@@name@@",
        triggers=[Trigger.on_manual()],
        max_parallel=3,
        steps=steps,
    )
"#
}

fn yaml(stages: &[Stage]) -> String {
    let mut text = String::from(
        "# Agents one after the other; each is given what the one before it put out.\n\
         version: \"1.0\"\nname: \"@@name@@\"\ntriggers: [manual]\ntasks:",
    );
    let mut before: Option<&str> = None;
    for Stage { id, role, task } in stages {
        let _infallible = write!(text, "\n  - id: \"{id}\"\n    agent: \"{role}\"\n");
        if let Some(before) = before {
            let _infallible = writeln!(text, "    dependencies: [\"{before}\"]");
        }
        let _infallible = writeln!(text, "    parameters:\n      task: \"{task}\"");
        if let Some(before) = before {
            let source = output_of(before);
            let _infallible = writeln!(text, "      before: '${{{source}}}'");
        }
        before = Some(id);
    }
    text
}

/// The expression for a step's output, as `step.output()` writes it.
fn output_of(id: &str) -> String {
    let word = id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !id.starts_with(|c: char| c.is_ascii_digit());
    if word { format!("steps.{id}.output") } else { format!("steps[\"{id}\"].output") }
}
