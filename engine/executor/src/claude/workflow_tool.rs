//! Workflows of the repository as tools: `workflow(deploy)` lets the model start the workflow `deploy` as a
//! child run, with typed inputs and a slice of the budget.
//!
//! The run is in the transcript before it exists, so that an engine that resumes the agent follows the same
//! one. Must not start a workflow that the step does not name.

use std::collections::BTreeMap;

use plue_flow::Child;
use plue_llm::{
    Agent, PicoUsd, Tool,
    agent::{Call, Effect, Input, MAX_RUNS, StartedRun, Task},
    codes,
};
use plue_plan::{
    Plan, RunId,
    plan::{Input as Declared, InputType},
};
use plue_store::CancelRequest;
use plue_wire::{eval::Bytes, runner::ToolResult};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::agent_run::{AgentRun, AgentScope, STORE_PAUSE, Stopped};
use crate::{
    driver::{AgentChildren, ChildOfCall},
    engine::Shared,
    perform::child::{BudgetOwner, RunBudget},
};

/// Most workflows in the tools of one agent.
const MAX_WORKFLOWS: usize = 16;
/// Bytes of a tool's name.
const MAX_NAME: usize = 128;

/// The workflow tools of one agent: names of workflows by those of the tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WorkflowTools(BTreeMap<String, String>);

/// Arguments of a call.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    inputs: Option<BTreeMap<String, Json>>,
    budget_usd: Option<f64>,
}

/// The workflow that a name of `tools` makes a tool of.
pub(super) fn workflow_of(name: &str) -> Option<&str> {
    let workflow = name.strip_prefix("workflow(")?.strip_suffix(')')?.trim();
    (!workflow.is_empty()).then_some(workflow)
}

/// The tools of all names of workflows, and their offers without the inputs, which [`equip`] adds.
///
/// # Errors
/// A text for the author, with a code.
pub(super) fn workflow_tools(names: &[String]) -> Result<(WorkflowTools, Vec<Tool>), String> {
    let code = codes::WORKFLOW_TOOL;
    let (mut tools, mut offers) = (BTreeMap::new(), Vec::new());
    for workflow in names.iter().filter_map(|name| workflow_of(name)) {
        let name = tool_name(workflow);
        match tools.insert(name.clone(), workflow.to_owned()) {
            None if name.len() <= MAX_NAME => {}
            Some(same) if same == workflow => continue,
            None | Some(_) => {
                return Err(format!(
                    "{code}: `workflow({workflow})` in `tools` would be a tool `{name}`, which is too long or \
                     there twice"
                ));
            }
        }
        let schema = schema(&BTreeMap::new());
        let description = String::new();
        offers.push(Tool { name, description, input_schema: schema, strict: false });
    }
    if tools.len() > MAX_WORKFLOWS {
        return Err(format!("{code}: one agent has at most {MAX_WORKFLOWS} workflows as tools"));
    }
    Ok((WorkflowTools(tools), offers))
}

/// The task with descriptions and inputs of its workflows, or a text for the author.
pub(super) async fn equip(
    mut task: Task,
    tools: &WorkflowTools,
    children: &AgentChildren,
) -> Result<Task, String> {
    for (name, workflow) in &tools.0 {
        let planned = children.declared(workflow).await;
        let plan = planned.map_err(|why| {
            format!("{}: `workflow({workflow})` in `tools`: {why}", codes::WORKFLOW_TOOL)
        })?;
        if let Some(offer) = task.tools.iter_mut().find(|offer| offer.name == *name) {
            offer.description = description(workflow, &plan);
            offer.input_schema = schema(&plan.inputs);
        }
    }
    Ok(task)
}

/// Starts the runs of calls, or follows those that were started; results come as those of a runner.
pub(super) async fn follow_runs(
    of: &mut AgentRun,
    agent: &mut Agent,
    calls: &[Call],
) -> Result<(), Stopped> {
    for call in calls {
        let Some(workflow) = of.tools.workflows.workflow(call).map(str::to_owned) else { continue };
        let id = of.scope.wire_id(call);
        let refusal = match prepared(of, call, agent.runs(), &workflow).await {
            Ok((started, budgets)) => {
                if call.run.is_none() {
                    let run = Box::new(started.clone());
                    let note =
                        format!("[plue: run {} of the workflow `{workflow}` begins]", run.run);
                    let text = of.log.view.note(&note);
                    let begins = Input::RunStarted { id: call.id.clone(), run };
                    of.apply_and_log(agent, begins, None, text).await?;
                }
                let StartedRun { run, plan, source, inputs } = started;
                let child = Child { run, plan, source, inputs };
                let recorded = of.replay.as_ref().map(|replay| replay.run_of(&call.id));
                let call = ChildOfCall { id, child, budgets, recorded };
                if let Some(children) = &of.tools.children {
                    children.follow(call, of.tools.own_results.clone());
                }
                continue;
            }
            Err(why) => format!("Not carried out: {why}."),
        };
        let result = ToolResult { id, content: Bytes(refusal.into_bytes()), is_error: true };
        // There is room for several results of each call.
        let _room = of.tools.own_results.try_send(result);
    }
    Ok(())
}

/// Cancels the runs of open calls, whose results are unknown from now on: the engine that followed them may
/// be gone.
pub(super) async fn cancel_runs(scope: &AgentScope, agent: &Agent) {
    let Effect::Call(calls) = agent.effect() else { return };
    let shared = &scope.shared;
    let request = CancelRequest { by: format!("run {}", scope.run), kill: false };
    for run in calls.into_iter().filter_map(|call| call.run) {
        loop {
            let asked = cancel_run(shared, &run.run, request.clone()).await;
            let Err(error) = asked else { break };
            tracing::warn!(run = %run.run, %error, "failed to cancel a child run; retrying in 1 s");
            shared.clock.sleep(STORE_PAUSE).await;
        }
    }
}

async fn cancel_run(
    shared: &Shared,
    run: &RunId,
    request: CancelRequest,
) -> Result<(), plue_store::Error> {
    if shared.store.runs().get(run).await?.is_some() {
        shared.store.cancels().request(run, request, shared.clock.now()).await?;
    }
    Ok(())
}

/// The run of a call, with the budgets above it; `earlier` runs were started before.
async fn prepared(
    of: &AgentRun,
    call: &Call,
    earlier: usize,
    workflow: &str,
) -> Result<(StartedRun, ChildBudgets), String> {
    let children = of.tools.children.as_ref().ok_or("this agent starts no workflows")?;
    let arguments = Arguments::deserialize(Json::Object(call.input.clone()));
    let given = arguments.map_err(|error| format!("the arguments do not fit: {error}"))?;
    let budgets = ChildBudgets::of(of, call, given.budget_usd)?;
    if let Some(started) = &call.run {
        return Ok(((**started).clone(), budgets));
    }
    if earlier >= MAX_RUNS {
        return Err(format!("{MAX_RUNS} runs were started, and no more may be"));
    }
    let inputs = given.inputs.unwrap_or_default();
    let started = children.plan(workflow, inputs).await?;
    Ok((started, budgets))
}

/// Budgets in money and in tokens that a child run draws from, besides those of the runs above it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ChildBudgets {
    pub(crate) money: Vec<RunBudget>,
    pub(crate) tokens: Vec<RunBudget>,
}

// === impl ChildBudgets ===

impl ChildBudgets {
    /// Those of a step, and the slice of a call in dollars.
    ///
    /// # Errors
    /// A text for the model.
    pub(super) fn of(
        agent: &AgentRun,
        call: &Call,
        budget_usd: Option<f64>,
    ) -> Result<Self, String> {
        let run = &agent.scope.run;
        let of_step = BudgetOwner::Step(agent.scope.step.clone());
        let budget = |limit: u64, of: &BudgetOwner| RunBudget {
            run: run.clone(),
            limit,
            of: Some(of.clone()),
        };
        let step = agent.budgets.step;
        let mut money: Vec<_> = step.usd.iter().map(|usd| budget(usd.0, &of_step)).collect();
        let tokens = step.tokens.iter().map(|tokens| budget(*tokens, &of_step)).collect();
        if let Some(usd) = budget_usd {
            let usd = PicoUsd::from_usd(usd).filter(|usd| usd.0 > 0);
            let usd = usd.ok_or("`budget_usd` is a number of dollars above 0")?;
            let of = format!("{} {}", agent.scope.claim.attempt, agent.scope.wire_id(call));
            money.push(budget(usd.0, &BudgetOwner::Call(of)));
        }
        Ok(Self { money, tokens })
    }
}

// === impl WorkflowTools ===

impl WorkflowTools {
    /// The workflow of a call; `None`: the call is another tool's.
    pub(super) fn workflow(&self, call: &Call) -> Option<&str> {
        self.0.get(&call.name).map(String::as_str)
    }
}

/// Names of tools have fewer characters than those of workflows.
fn tool_name(workflow: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("workflow_{}", workflow.chars().map(plain).collect::<String>())
}

fn description(workflow: &str, plan: &Plan) -> String {
    format!(
        "Starts the workflow `{workflow}` of this repository as a run of its own, waits for its end and \
         returns its outputs. {}",
        plan.description.as_deref().unwrap_or_default()
    )
    .trim_end()
    .to_owned()
}

/// The schema of the arguments for these inputs.
fn schema(declared: &BTreeMap<String, Declared>) -> Map<String, Json> {
    let property = |input: &Declared| {
        let mut schema = match input.kind {
            InputType::List => json!({ "type": "array", "items": {} }),
            InputType::Object => json!({ "type": "object" }),
            InputType::String => json!({ "type": "string" }),
            InputType::Integer => json!({ "type": "integer" }),
            InputType::Number => json!({ "type": "number" }),
            InputType::Boolean => json!({ "type": "boolean" }),
        };
        if let Some(description) = &input.description {
            schema["description"] = json!(description);
        }
        if let Some(default) = &input.default {
            schema["default"] = default.clone();
        }
        if !input.choices.is_empty() {
            schema["enum"] = json!(input.choices);
        }
        schema
    };
    let inputs: Map<String, Json> =
        declared.iter().map(|(name, input)| (name.clone(), property(input))).collect();
    let is_needed = |input: &Declared| input.required && input.default.is_none();
    let required: Vec<&String> =
        declared.iter().filter(|(_, input)| is_needed(input)).map(|(name, _)| name).collect();
    let outer: &[&str] = if required.is_empty() { &[] } else { &["inputs"] };
    let schema = json!({
        "type": "object",
        "properties": {
            "inputs": {
                "type": "object",
                "properties": inputs,
                "required": required,
                "additionalProperties": false,
            },
            "budget_usd": {
                "type": "number",
                "description": "The most dollars the run may spend; never more than is left here.",
            },
        },
        "required": outer,
        "additionalProperties": false,
    });
    match schema {
        Json::Object(fields) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workflows_become_tools() {
        let names = ["workflow(CI Pipeline)", "bash", "workflow(deploy)", "workflow( deploy )"];
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (tools, offers) = workflow_tools(&names).unwrap();
        let offered: Vec<&str> = offers.iter().map(|offer| offer.name.as_str()).collect();
        assert_eq!(offered, ["workflow_CI_Pipeline", "workflow_deploy"]);
        assert_eq!(tools.0["workflow_CI_Pipeline"], "CI Pipeline");
        assert_eq!(workflow_of("workflow()"), None);
        let twice = ["workflow(a b)".to_owned(), "workflow(a.b)".to_owned()];
        assert!(workflow_tools(&twice).unwrap_err().starts_with("PLUE-L0022: "));
    }

    #[test]
    fn inputs_become_the_schema() {
        let declared: BTreeMap<String, Declared> = serde_json::from_value(json!({
            "n": {"type": "integer", "required": true, "description": "How many"},
            "env": {"default": "dev", "choices": ["dev", "prod"]},
        }))
        .unwrap();
        let schema = schema(&declared);
        let inputs = &schema["properties"]["inputs"];
        assert_eq!(
            inputs["properties"]["n"],
            json!({"type": "integer", "description": "How many"})
        );
        assert_eq!(
            inputs["properties"]["env"],
            json!({"type": "string", "default": "dev", "enum": ["dev", "prod"]})
        );
        assert_eq!((&inputs["required"], &schema["required"]), (&json!(["n"]), &json!(["inputs"])));
    }
}
