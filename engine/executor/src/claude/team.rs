//! The subagents that an agent may start: their assignments, and the arguments of the calls.
//!
//! A subagent never has more tools than its parent. Must not start anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use plue_llm::{
    PicoUsd, Tool,
    agent::{ApprovalRules, Call, Children, Limits, MAX_AGENTS, MAX_AGENTS_BELOW, Task},
    codes,
    tools::{self, DELEGATE, PROMPT_PREFIX},
};
use plue_plan::budget::Budget;
use plue_prompts::{Partials, PromptFile, Role, prompt::Settings};
use plue_runtime::foreign;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::{
    assignment::{Assignment, Context, limits},
    spending::Limit,
    tool::{Starter, Tools, check_approve},
};

/// Generations of subagents below the agent of a step.
const MAX_DEPTH: usize = 2;
/// Bytes of a tool's name.
const MAX_NAME: usize = 128;
/// Budget of rendering a prompt with a model's inputs; templates have limits of their own.
const RENDERING: foreign::Limits = foreign::Limits {
    name: "rendering a prompt for an agent",
    budget: Budget::of_steps(u64::MAX),
    cpu: Duration::from_secs(10),
    wall: Duration::from_secs(60),
};

/// The subagents of one agent.
#[derive(Debug, Default)]
pub(crate) struct Team {
    roles: BTreeMap<String, Member>,
    /// By name of the tool.
    prompts: BTreeMap<String, (Arc<Text>, Member)>,
    most: u32,
}

#[derive(Debug)]
struct Member {
    description: Option<String>,
    /// Without a prompt, which the call sets.
    assignment: Assignment,
}

#[derive(Debug)]
struct Text {
    file: PromptFile,
    partials: Partials,
}

/// The settings that a parent passes on to its subagents.
#[derive(Debug, Clone, Copy)]
pub(super) struct ParentAgent<'a> {
    pub(super) tools: &'a Tools,
    /// Calls that people approve; subagents need the approval as well.
    pub(super) approve: &'a [String],
    /// Seconds until a call without a decision counts as rejected.
    pub(super) approve_seconds: Option<u64>,
    pub(super) model: &'a str,
    pub(super) fallback_models: &'a [String],
    /// Number of generations above; 0 for the agent of a step.
    pub(super) depth: usize,
}

/// Arguments of `delegate`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Delegation {
    role: String,
    task: String,
    budget_usd: Option<f64>,
    max_turns: Option<u32>,
}

// === impl Team ===

impl Team {
    /// The subagents of the tools of an agent.
    ///
    /// # Errors
    /// A text for the author, with a code.
    pub(super) fn of(context: &Context<'_>, above: ParentAgent<'_>) -> Result<Self, String> {
        let most = if above.depth == 0 { MAX_AGENTS } else { MAX_AGENTS_BELOW };
        let mut team = Self { most, ..Self::default() };
        if above.depth >= MAX_DEPTH {
            return Ok(team);
        }
        for start in &above.tools.starts {
            let code = codes::AGENT_TOOL;
            let step = context.step;
            let bad = |why: String| format!("{code}: step `{step}`: {why}");
            match start {
                Starter::Role(name) => {
                    let role = context.pinned.role(name).map_err(bad)?;
                    let description = role.description().map(str::to_owned);
                    let parts = (Settings::default(), Some(role));
                    let assignment = member(context, name, parts, above)?;
                    team.roles.insert(name.clone(), Member { description, assignment });
                }
                Starter::Prompt(name) => {
                    let (file, partials) = context.pinned.file(name).map_err(bad)?;
                    let settings = file.settings().clone();
                    let role = settings.role.as_ref().map(|role| context.pinned.role(role));
                    let role = role.transpose().map_err(bad)?;
                    let description = file.description().map(str::to_owned);
                    let assignment = member(context, name, (settings, role), above)?;
                    let tool = format!("{PROMPT_PREFIX}{}", name.replace('.', "_"));
                    let text = Arc::new(Text { file, partials });
                    if tool.len() > MAX_NAME || team.prompts.contains_key(&tool) {
                        return Err(bad(format!(
                            "the prompt `{name}` would be a tool `{tool}`, which is too long or there twice"
                        )));
                    }
                    team.prompts.insert(tool, (text, Member { description, assignment }));
                }
            }
        }
        Ok(team)
    }

    /// The tools that start subagents.
    pub(super) fn offers(&self) -> Vec<Tool> {
        let mut offers = Vec::new();
        if !self.roles.is_empty() {
            let about =
                |(name, member): (&String, &Member)| (name.clone(), member.description.clone());
            offers.push(tools::delegate_offer(&self.roles.iter().map(about).collect::<Vec<_>>()));
        }
        offers.extend(self.prompts.iter().map(|(tool, (text, member))| {
            let name = text.file.name();
            let schema = text.file.schema().and_then(Json::as_object).cloned();
            Tool {
                name: tool.clone(),
                description: format!(
                    "Asks another agent in the same workspace with the prompt `{name}` and returns its \
                     result. {}",
                    member.description.as_deref().unwrap_or_default()
                ),
                input_schema: schema.unwrap_or_else(any_object),
                strict: false,
            }
        }));
        offers
    }

    /// The limits for the state machine; `None` without subagents.
    pub(super) fn children(&self) -> Option<Children> {
        let delegate = (!self.roles.is_empty()).then(|| DELEGATE.to_owned());
        let tools: Vec<String> = delegate.into_iter().chain(self.prompts.keys().cloned()).collect();
        (!tools.is_empty()).then_some(Children { tools, most: self.most })
    }

    /// The assignment of the subagent that a call starts.
    ///
    /// # Errors
    /// A text for the model.
    pub(crate) async fn assignment(&self, call: &Call) -> Result<Assignment, String> {
        if call.name == DELEGATE {
            return self.delegated(call);
        }
        let (text, member) = self.prompts.get(&call.name).ok_or("there is no such tool")?;
        let mut assignment = member.assignment.clone();
        assignment.task.prompt = rendered(text.clone(), call.input.clone()).await?;
        Ok(assignment)
    }

    fn delegated(&self, call: &Call) -> Result<Assignment, String> {
        let delegation = Delegation::deserialize(Json::Object(call.input.clone()));
        let given = delegation.map_err(|error| format!("the arguments do not fit: {error}"))?;
        let member = self.roles.get(&given.role).ok_or("there is no such role")?;
        if given.task.trim().is_empty() {
            return Err("`task` is empty; write down all that the agent needs".to_owned());
        }
        let mut assignment = member.assignment.clone();
        assignment.task.prompt = given.task;
        if let Some(usd) = given.budget_usd {
            let usd = PicoUsd::from_usd(usd).filter(|usd| usd.0 > 0);
            let usd = usd.ok_or("`budget_usd` is a number of dollars above 0")?;
            let limit = &mut assignment.budget.usd;
            *limit = Some(limit.map_or(usd, |role| PicoUsd(role.0.min(usd.0))));
        }
        match given.max_turns {
            Some(0) => return Err("`max_turns` is 1 or more".to_owned()),
            Some(turns) => {
                let limit = &mut assignment.task.limits.turns;
                *limit = turns.min(*limit);
            }
            None => {}
        }
        Ok(assignment)
    }
}

/// The assignment of a subagent, without its prompt.
fn member(
    context: &Context<'_>,
    name: &str,
    (of_prompt, role): (Settings, Option<Role>),
    above: ParentAgent<'_>,
) -> Result<Assignment, String> {
    let of_role = role.as_ref().map(|role| role.settings().clone()).unwrap_or_default();
    let system = role.as_ref().map(|role| role.prompt().trim().to_owned());
    let own = of_prompt.tools.as_ref().or(of_role.tools.as_ref());
    let own = own.map(Vec::as_slice).unwrap_or_default();
    let tools = Tools::within(above.tools, own, &context.claude.fetch_hosts).map_err(|why| {
        format!("{why} (named by `{name}`, which step `{}` may start)", context.step)
    })?;
    let own: BTreeSet<&String> = of_prompt.approve.iter().chain(&of_role.approve).collect();
    check_approve(&own, &[], &tools.offers).map_err(|why| {
        format!("{why} (named by `{name}`, which step `{}` may start)", context.step)
    })?;
    let approve: BTreeSet<&String> = own.into_iter().chain(above.approve).collect();
    let approve: Vec<String> = approve.into_iter().cloned().collect();
    let model = of_prompt.model.or(of_role.model);
    let is_same = model.as_deref().is_none_or(|model| model == above.model);
    let fallback_models = if is_same { above.fallback_models.to_vec() } else { Vec::new() };
    let model = model.unwrap_or_else(|| above.model.to_owned());
    context.priced(std::iter::once(&model))?;
    let team = Team::of(
        context,
        ParentAgent {
            tools: &tools,
            approve: &approve,
            approve_seconds: above.approve_seconds,
            model: &model,
            fallback_models: &fallback_models,
            depth: above.depth + 1,
        },
    )?;
    let budget = Limit::of(of_prompt.budget.as_ref().or(of_role.budget.as_ref()));
    let turns = of_prompt.max_turns.or(of_role.max_turns);
    let limits: Limits = limits((turns, of_prompt.max_tokens.or(of_role.max_tokens)), budget);
    let task = Task {
        model,
        fallback_models,
        system: system.filter(|system| !system.is_empty()),
        prompt: String::new(),
        tools: tools.offers.iter().cloned().chain(team.offers()).collect(),
        approval: ApprovalRules { approve, approve_seconds: above.approve_seconds },
        mcp: BTreeMap::new(),
        effort: of_prompt.effort.or(of_role.effort),
        output: of_prompt.output.or(of_role.output),
        name: Some(name.to_owned()),
        children: team.children(),
        limits,
    };
    let (fetch_hosts, team) = (tools.fetch_hosts, Arc::new(team));
    let (servers, steps, workflows) = Default::default();
    Ok(Assignment { task, budget, fetch_hosts, servers, team, steps, workflows })
}

fn any_object() -> Map<String, Json> {
    Map::from_iter([("type".to_owned(), json!("object"))])
}

async fn rendered(text: Arc<Text>, inputs: Map<String, Json>) -> Result<String, String> {
    let render = move |_: &_| {
        let rendered = text.file.render(&inputs, &text.partials);
        Ok(rendered.map_err(|found| {
            let all: Vec<_> = found.iter().take(3).map(|one| one.message.clone()).collect();
            all.join("; ")
        }))
    };
    foreign::compute(RENDERING, render).await.map_err(|error| error.to_string())?
}
