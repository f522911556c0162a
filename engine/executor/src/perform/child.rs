//! `workflow` steps: the plan of the child run, checked like any other, and the outcome of the step from
//! the end of the child.

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

/// Most generations of nested runs.
pub const MAX_DEPTH: u32 = 8;
/// Budget of reading and checking an emitted plan; the plan has limits of its own ([`plue_plan::limits`]).
const READING: Limits = Limits {
    name: "reading a plan that a step put out",
    budget: Budget::of_steps(u64::MAX),
    cpu: Duration::from_secs(10),
    wall: Duration::from_secs(60),
};
/// Most problems of an emitted plan in one message.
const MAX_NAMED: usize = 3;

/// The parent of a child run; stored with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Id of the parent run.
    pub run: RunId,
    /// The step of the parent run.
    pub step: StepId,
    /// Number of runs above it.
    pub depth: u32,
    /// Names of the workflows above it, the outermost first.
    pub workflows: Vec<String>,
    /// Keys of the concurrency groups of the runs above it, whose turn it shares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Budgets in picodollars of the runs above it, which it draws from too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<RunBudget>,
    /// Budgets in tokens of the runs above it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_budgets: Vec<RunBudget>,
}

/// The budget that a plan sets for its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunBudget {
    /// Id of the run.
    pub run: RunId,
    /// Limit of Claude spending for the run and its descendants, in picodollars or in tokens.
    pub limit: u64,
    /// The part of the run that the limit is for; `None`: all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<BudgetOwner>,
}

/// A part of a run with a budget of its own, from which child runs draw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetOwner {
    /// The id of a Claude step.
    Step(StepId),
    /// A call of an agent: its attempt and its id.
    Call(String),
}

/// A workflow that a step names.
#[derive(Debug, Clone)]
pub struct ChildRequest {
    /// Name of the workflow.
    pub name: String,
    /// Root of the repository that is searched.
    pub repository: PathBuf,
    /// The event of the parent.
    pub event: Event,
    /// Evaluated inputs of the step.
    pub inputs: BTreeMap<String, Json>,
}

/// The plan of a workflow.
#[derive(Debug)]
pub struct ChildPlan {
    /// A valid, hashed plan.
    pub plan: HashedPlan,
    /// Path of the workflow file.
    pub source: String,
}

/// The answer of [`Workflows::plan`].
pub type ChildPlanned = Pin<Box<dyn Future<Output = Result<ChildPlan, String>> + Send>>;

/// Plans workflows by name, for child runs.
pub trait Workflows: Send + Sync + std::fmt::Debug {
    /// The plan of a workflow, or a text for the author of the step that names it.
    fn plan(&self, request: ChildRequest) -> ChildPlanned;
}

/// The source of a child run's plan.
pub(crate) enum ChildSource {
    /// A workflow of the repository, and the names of the workflows above.
    Named(Box<ChildRequest>, Vec<String>),
    Emitted(Json, BTreeMap<String, Json>),
}

/// Evaluates the step.
///
/// # Errors
/// A text for the author.
pub(crate) fn child_source(
    step: &Step,
    scope: &Scope<'_>,
    (origin, event): (&Origin, &Event),
    name_of_parent: &str,
) -> Result<ChildSource, String> {
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
    match (&workflow.workflow, &workflow.plan) {
        (Some(name), _) => named_child(name, inputs, origin, event, name_of_parent),
        (None, Some(plan)) => {
            lineage_with_room(origin, name_of_parent)?;
            Ok(ChildSource::Emitted(value("plan", plan)?, inputs))
        }
        (None, None) => Err("it names neither a workflow nor a plan".to_owned()),
    }
}

/// A workflow by name, with these inputs.
///
/// # Errors
/// A text for the author: the runs go too deep, or would start each other for ever.
pub(crate) fn named_child(
    name: &str,
    inputs: BTreeMap<String, Json>,
    origin: &Origin,
    event: &Event,
    name_of_parent: &str,
) -> Result<ChildSource, String> {
    let above = lineage_with_room(origin, name_of_parent)?;
    not_above(&above, name)?;
    let (repository, event, name) = (origin.repository.clone(), event.clone(), name.to_owned());
    let request = ChildRequest { name, repository, event, inputs };
    Ok(ChildSource::Named(Box::new(request), above))
}

fn lineage_with_room(origin: &Origin, workflow: &str) -> Result<Vec<String>, String> {
    let above = lineage(origin, workflow);
    if above.len() >= MAX_DEPTH as usize {
        return Err(format!("child runs go {MAX_DEPTH} deep at most: {}", above.join(" → ")));
    }
    Ok(above)
}

fn not_above(above: &[String], name: &str) -> Result<(), String> {
    if above.iter().any(|known| known == name) {
        let way = above.join(" → ");
        return Err(format!("workflows would start each other for ever: {way} → {name}"));
    }
    Ok(())
}

/// Names of the workflows from the outermost run down to this one.
pub(crate) fn lineage(origin: &Origin, workflow: &str) -> Vec<String> {
    let above = origin.parent.as_ref().map(|parent| parent.workflows.clone());
    let mut above = above.unwrap_or_default();
    above.push(workflow.to_owned());
    above
}

/// The checked plan of a child run, and its typed inputs.
///
/// # Errors
/// A text for the author of the step.
pub(crate) async fn plan_child(
    child: ChildSource,
    workflows: Option<Arc<dyn Workflows>>,
    source: String,
) -> Result<(ChildPlan, Map<String, Json>), String> {
    let (planned, given) = match child {
        ChildSource::Named(ref request, _) => {
            let given = request.inputs.clone();
            (plan_named(child, workflows).await?, given)
        }
        ChildSource::Emitted(plan, given) => {
            let read = foreign::compute(READING, move |_| Ok(emitted(plan))).await;
            let plan = read.map_err(|error| error.to_string())??;
            (ChildPlan { plan, source }, given)
        }
    };
    let inputs = inputs::typed(&planned.plan.plan.inputs, given)?;
    Ok((planned, inputs))
}

/// The plan of a workflow that is named.
///
/// # Errors
/// A text for the author.
pub(crate) async fn plan_named(
    child: ChildSource,
    workflows: Option<Arc<dyn Workflows>>,
) -> Result<ChildPlan, String> {
    let ChildSource::Named(request, above) = child else {
        return Err("it names no workflow".to_owned());
    };
    let workflows = workflows.ok_or("this engine knows no workflows by name")?;
    let planned = workflows.plan(*request).await?;
    // The request may have named its file.
    not_above(&above, &planned.plan.plan.name)?;
    Ok(planned)
}

/// A plan that a step emitted, as an object or as text, checked like any other.
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

/// Outcome and output of a step whose child run has ended.
pub(crate) fn outcome(child: &Loaded) -> (Outcome, Json) {
    let run = &child.run;
    let view = run.view();
    let why = view.reason.map_or(String::new(), |reason| format!(": {reason}"));
    // The code of a limit comes first, so that the parent is recognised as limited too.
    let limit = run.step_views().find_map(|step| {
        let reason = step.reason?.to_string();
        let (code, rest) = plue_llm::codes::limit(&reason)?;
        Some((code, format!(": step `{}`: {rest}", step.step)))
    });
    let failure = |what: &str| match &limit {
        Some((code, why)) => format!("{code}: child run {} {what}{why}", run.id()),
        None => format!("child run {} {what}{why}", run.id()),
    };
    let outcome = match view.status {
        RunStatus::Success => Outcome::Success,
        RunStatus::TimedOut => Outcome::TimedOut,
        RunStatus::Cancelled => Outcome::Failed { message: failure("was cancelled") },
        RunStatus::Failed => Outcome::Failed { message: failure("failed") },
        RunStatus::Queued | RunStatus::Running | RunStatus::Waiting => {
            Outcome::Infra { message: failure("has not ended") }
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
    fn emitted_objects_and_texts_have_one_hash() {
        let plan = json!({"version": 1, "name": "p", "steps": [
            {"id": "a", "kind": "bash", "run": "true"},
        ]});
        let text = emitted(Json::String(plan.to_string())).unwrap();
        assert_eq!(emitted(plan).unwrap().hash, text.hash);
    }

    #[test]
    fn emitted_plans_are_checked() {
        let plan = json!({"version": 1, "name": "p", "steps": [
            {"id": "a", "kind": "bash", "run": "true", "depends_on": ["b"]},
        ]});
        let refused = emitted(plan).unwrap_err();
        assert!(refused.contains("PLUE-P"), "{refused}");
        assert!(emitted(json!(3)).is_err());
        assert!(emitted(json!({"version": 1})).unwrap_err().contains("cannot be read"));
    }

    #[test]
    fn recursive_workflows_are_refused_with_their_chain() {
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
        let refused = child_source(&step, &Scope::new(), (&origin, &event), "inner").err().unwrap();
        assert!(refused.ends_with("outer → inner → outer"), "{refused}");
        origin.parent = None;
        assert!(child_source(&step, &Scope::new(), (&origin, &event), "inner").is_ok());
    }
}
