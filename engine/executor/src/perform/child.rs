//! `workflow` steps: from what the step says to a plan that is checked like any other, and from the end
//! of the child run to the end of the step.

use std::{
    collections::BTreeMap, future::Future, path::PathBuf, pin::Pin, sync::Arc, time::Duration,
};

use plue_flow::{RunStatus, fact::Outcome};
use plue_plan::{
    Action, Event, HashedPlan, Plan, RunId, Step, StepId,
    budget::Budget,
    diagnostic::Severity,
    validate::{SourceMap, validate_with},
};
use plue_runtime::foreign::{self, Limits};
use plue_spec::{Cel, Reads, Scope, resolve};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::loaded::{Loaded, Origin};

pub(crate) mod inputs;

/// Generations of runs: a child of a child of … at most.
pub const MAX_DEPTH: u32 = 8;
/// Reading and checking an emitted plan, which has limits of its own ([`plue_plan::limits`]).
const READING: Limits = Limits {
    name: "reading a plan that a step put out",
    budget: Budget::of_steps(u64::MAX),
    cpu: Duration::from_secs(10),
    wall: Duration::from_secs(60),
};
/// Problems of an emitted plan that one message names at most.
const MAX_NAMED: usize = 3;

/// Where a child run comes from; kept with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The run that started it.
    pub run: RunId,
    /// The step of that run.
    pub step: StepId,
    /// Runs above it.
    pub depth: u32,
    /// Names of the workflows above it, the outermost first.
    pub workflows: Vec<String>,
    /// Concurrency groups of the runs above it, as the store knows them: it runs in their turn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Budgets of the runs above it, which it draws from too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<RunBudget>,
    /// The same in tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_budgets: Vec<RunBudget>,
}

/// The budget that a plan sets for its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBudget {
    /// The run.
    pub run: RunId,
    /// The most that it and the runs below it may spend on Claude, in picodollars or in tokens.
    pub limit: u64,
}

/// A workflow that a step names.
#[derive(Debug, Clone)]
pub struct ChildRequest {
    /// Its name.
    pub name: String,
    /// Root of the repository in which it is looked for.
    pub repository: PathBuf,
    /// What the parent reacts to.
    pub event: Event,
    /// What the step gives.
    pub inputs: BTreeMap<String, Json>,
}

/// The plan of a workflow.
#[derive(Debug)]
pub struct ChildPlan {
    /// The plan.
    pub plan: HashedPlan,
    /// Path of its file.
    pub source: String,
}

/// The answer of [`Workflows::plan`].
pub type ChildPlanned = Pin<Box<dyn Future<Output = Result<ChildPlan, String>> + Send>>;

/// Makes plans of workflows by their names, for child runs.
pub trait Workflows: Send + Sync + std::fmt::Debug {
    /// The plan of a workflow, or a text for the author of the step that names it.
    fn plan(&self, request: ChildRequest) -> ChildPlanned;
}

/// What a step asks for.
pub(crate) enum Wanted {
    /// With the names of the workflows above.
    Named(Box<ChildRequest>, Vec<String>),
    Emitted(Json, BTreeMap<String, Json>),
}

/// Reads the step.
///
/// # Errors
/// A text for the author.
pub(crate) fn wanted(
    step: &Step,
    scope: &Scope<'_>,
    (origin, event): (&Origin, &Event),
    name_of_parent: &str,
) -> Result<Wanted, String> {
    let Action::Workflow(workflow) = &step.action else {
        return Err(format!("`{}` starts no run", step.action.kind()));
    };
    let value = |what: &str, value: &plue_plan::Value| {
        let resolved = resolve(value, scope, &mut Reads::default());
        let resolved = resolved.map_err(|error| format!("{what}: {error}"))?;
        match resolved.secrets.first() {
            Some(secret) => Err(format!("{what}: the secret `{}` is no value", secret.name)),
            None => Ok(resolved.value),
        }
    };
    let mut inputs = BTreeMap::new();
    for (name, given) in &workflow.inputs {
        inputs.insert(name.clone(), value(&format!("input `{name}`"), given)?);
    }
    let above = lineage(origin, name_of_parent);
    if above.len() >= MAX_DEPTH as usize {
        return Err(format!("child runs go {MAX_DEPTH} deep at most: {}", above.join(" → ")));
    }
    match (&workflow.workflow, &workflow.plan) {
        (Some(name), _) => {
            not_above(&above, name)?;
            let repository = origin.repository.clone();
            let event = event.clone();
            let name = name.clone();
            let request = ChildRequest { name, repository, event, inputs };
            Ok(Wanted::Named(Box::new(request), above))
        }
        (None, Some(plan)) => Ok(Wanted::Emitted(value("plan", plan)?, inputs)),
        (None, None) => Err("it names neither a workflow nor a plan".to_owned()),
    }
}

fn not_above(above: &[String], name: &str) -> Result<(), String> {
    if above.iter().any(|known| known == name) {
        let way = above.join(" → ");
        return Err(format!("workflows would start each other for ever: {way} → {name}"));
    }
    Ok(())
}

/// The workflows from the outermost run down to this one.
pub(crate) fn lineage(origin: &Origin, workflow: &str) -> Vec<String> {
    let above = origin.parent.as_ref().map(|parent| parent.workflows.clone());
    let mut above = above.unwrap_or_default();
    above.push(workflow.to_owned());
    above
}

/// The plan and its inputs, both checked.
///
/// # Errors
/// A text for the author of the step.
pub(crate) async fn settled(
    wanted: Wanted,
    workflows: Option<Arc<dyn Workflows>>,
    source: String,
) -> Result<(ChildPlan, Map<String, Json>), String> {
    let (planned, given) = match wanted {
        Wanted::Named(request, above) => {
            let given = request.inputs.clone();
            let workflows = workflows.ok_or("this engine knows no workflows by name")?;
            let planned = workflows.plan(*request).await?;
            // It may have been named by its file.
            not_above(&above, &planned.plan.plan.name)?;
            (planned, given)
        }
        Wanted::Emitted(plan, given) => {
            let read = foreign::compute(READING, move |_| Ok(emitted(plan))).await;
            let plan = read.map_err(|error| error.to_string())??;
            (ChildPlan { plan, source }, given)
        }
    };
    let inputs = inputs::typed(&planned.plan.plan.inputs, given)?;
    Ok((planned, inputs))
}

/// A plan that a step put out, as an object or as its text, checked like any other.
fn emitted(plan: Json) -> Result<HashedPlan, String> {
    let bytes = match plan {
        Json::String(text) => text,
        Json::Object(_) => plan.to_string(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) => {
            return Err("the plan is neither an object nor the text of one".to_owned());
        }
    };
    let plan = Plan::from_json(bytes.as_bytes())
        .map_err(|error| format!("the plan cannot be read: {error}"))?;
    let problems = validate_with(&plan, &SourceMap::default(), &Cel);
    let errors: Vec<String> = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| format!("{} {}", problem.code, problem.message))
        .collect();
    if !errors.is_empty() {
        let named = errors.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join("; ");
        return Err(format!("the plan has {} problems: {named}", errors.len()));
    }
    HashedPlan::new(plan).map_err(|error| format!("the plan cannot be sealed: {error}"))
}

/// How a step ends with its child.
pub(crate) fn outcome(child: &Loaded) -> (Outcome, Json) {
    let run = &child.run;
    let view = run.view();
    let why = view.reason.map_or(String::new(), |reason| format!(": {reason}"));
    // The code of a limit comes first, so that the parent ends as the child does.
    let limit = run.step_views().find_map(|step| {
        let reason = step.reason?.to_string();
        let (code, rest) = plue_llm::codes::limit(&reason)?;
        Some((code, format!(": step `{}`: {rest}", step.step)))
    });
    let said = |what: &str| match &limit {
        Some((code, why)) => format!("{code}: child run {} {what}{why}", run.id()),
        None => format!("child run {} {what}{why}", run.id()),
    };
    let outcome = match view.status {
        RunStatus::Success => Outcome::Success,
        RunStatus::TimedOut => Outcome::TimedOut,
        RunStatus::Cancelled => Outcome::Failed { message: said("was cancelled") },
        RunStatus::Failed => Outcome::Failed { message: said("failed") },
        RunStatus::Queued | RunStatus::Running | RunStatus::Waiting => {
            Outcome::Infra { message: said("has not ended") }
        }
    };
    let output = run.outputs().cloned().unwrap_or(Json::Null);
    (outcome, output)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_emitted_plan_is_read_as_object_and_as_text_with_one_hash() {
        let plan = json!({"version": 1, "name": "p", "steps": [
            {"id": "a", "kind": "bash", "run": "true"},
        ]});
        let text = emitted(Json::String(plan.to_string())).unwrap();
        assert_eq!(emitted(plan).unwrap().hash, text.hash);
    }

    #[test]
    fn an_emitted_plan_is_checked_like_any_other() {
        let plan = json!({"version": 1, "name": "p", "steps": [
            {"id": "a", "kind": "bash", "run": "true", "depends_on": ["b"]},
        ]});
        let refused = emitted(plan).unwrap_err();
        assert!(refused.contains("PLUE-P"), "{refused}");
        assert!(emitted(json!(3)).is_err());
        assert!(emitted(json!({"version": 1})).unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn a_workflow_that_is_above_is_refused_with_the_way() {
        let step = Step::new(
            "sub",
            Action::Workflow(plue_plan::action::Workflow {
                workflow: Some("outer".to_owned()),
                plan: None,
                inputs: BTreeMap::new(),
            }),
        );
        let mut origin = Origin::at(PathBuf::from("/w"));
        let event = Event::new(plue_plan::event::EventType::Manual);
        origin.parent = Some(Parent {
            run: RunId::new("r"),
            step: StepId::new("s"),
            depth: 1,
            workflows: vec!["outer".to_owned()],
            groups: Vec::new(),
            budgets: Vec::new(),
            token_budgets: Vec::new(),
        });
        let refused = wanted(&step, &Scope::new(), (&origin, &event), "inner").err().unwrap();
        assert!(refused.ends_with("outer → inner → outer"), "{refused}");
        origin.parent = None;
        assert!(wanted(&step, &Scope::new(), (&origin, &event), "inner").is_ok());
    }
}
