//! The assignment of an agent: from the step, its prompt, its role and the operator's defaults.
//!
//! Texts of prompts and roles are those that were pinned with the plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::civil::Date;
use plue_llm::{
    Tool,
    agent::{ApprovalRules, DEFAULT_MAX_TOKENS, DEFAULT_TURNS, Limits, Task},
    codes,
};
use plue_plan::{
    Diagnostic, Plan, Step, StepId,
    action::{Llm, Prompt},
    context::schema_of,
};
use plue_prompts::{Partials, PromptFile, Role, prompt::Settings};
use plue_spec::{Reads, Scope, resolve, resolve_text};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::{
    Claude,
    spending::Limit,
    step_tool::{StepTools, step_tools},
    team::{ParentAgent, Team},
    tool::{self, Selected},
    workflow_tool::{WorkflowTools, workflow_tools},
};

/// The prompt of a step that has only a role.
const ROLE_ALONE: &str = "Do your task.";
/// The line before the goal of a plan, in the system prompt of its agents.
const GOAL: &str = "The goal of the workflow that your task is a part of:";

/// The start of an agent: its task and its budget.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    /// Task for the agent's state machine.
    pub(crate) task: Task,
    /// Limits of the step's spending.
    pub(crate) budget: Limit,
    /// Hosts that `fetch` may reach, if it is offered.
    pub(crate) fetch_hosts: Vec<String>,
    /// MCP servers whose tools are offered once they are listed.
    pub(crate) servers: Vec<Selected>,
    /// Subagents that it may start.
    pub(crate) team: Arc<Team>,
    /// Steps of the plan that it may run.
    pub(crate) steps: StepTools,
    /// Workflows of the repository that it may start.
    pub(crate) workflows: WorkflowTools,
}

/// The sources of an assignment besides the step itself.
pub(super) struct Context<'a> {
    pub(super) step: &'a StepId,
    pub(super) pinned: &'a Pinned,
    pub(super) claude: &'a Claude,
    today: Date,
}

/// Texts in the read-set of a plan.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Pinned {
    #[serde(default)]
    texts: BTreeMap<String, Option<PinnedText>>,
}

#[derive(Debug, Deserialize)]
struct PinnedText {
    file: String,
    text: String,
}

/// Whether a schema demands a text, which every answer is.
fn is_text(schema: &Json) -> bool {
    schema.get("type").and_then(Json::as_str) == Some("string")
}

/// Builds the assignment of a step.
///
/// # Errors
/// A text for the author, with a code.
pub(crate) fn assignment(
    (plan, step, llm): (&Plan, &Step, &Llm),
    read_set: &Json,
    scope: &Scope<'_>,
    claude: &Claude,
    today: Date,
) -> Result<Assignment, String> {
    let bad = |why: String| format!("{}: step `{}`: {why}", codes::BAD_PROMPT, step.id);
    let pinned = &Pinned::deserialize(read_set).unwrap_or_default();
    let context = Context { step: &step.id, pinned, claude, today };
    let (mut text, of_prompt) = pinned.prompt(&llm.prompt, scope).map_err(bad)?;
    let role = llm.role.as_ref().or(of_prompt.role.as_ref());
    let role = role.map(|name| pinned.role(name)).transpose().map_err(bad)?;
    let of_role = role.as_ref().map(|role| role.settings().clone()).unwrap_or_default();
    let goal = plan.goal.as_ref().map(|goal| format!("{GOAL}\n\n{goal}"));
    let own = llm.system.as_deref().into_iter().chain(goal.as_deref());
    let system: Vec<&str> = role.iter().map(Role::prompt).chain(own).collect();
    let system = system.join("\n\n").trim().to_owned();
    if text.trim().is_empty() {
        ROLE_ALONE.clone_into(&mut text);
    }
    let either = |of: fn(&Settings) -> Option<String>| of(&of_prompt).or_else(|| of(&of_role));
    let tools = llm.tools.as_ref().or(of_prompt.tools.as_ref()).or(of_role.tools.as_ref());
    let tools = tools.map(Vec::as_slice).unwrap_or_default();
    let (steps, of_steps) = step_tools(tools, plan, scope)?;
    let (workflows, of_workflows) = workflow_tools(tools)?;
    let tools = tool::named(tools, &llm.mcp, &claude.fetch_hosts)?;
    let approve = [&llm.approve, &of_prompt.approve, &of_role.approve];
    let approve: BTreeSet<&String> = approve.into_iter().flatten().collect();
    let model = llm.model.clone().or_else(|| either(|it| it.model.clone()));
    let model = model.unwrap_or_else(|| claude.model.clone());
    context.priced(std::iter::once(&model).chain(&llm.fallback_models))?;
    let budget = llm.budget.as_ref().or(of_prompt.budget.as_ref()).or(of_role.budget.as_ref());
    let budget = Limit::of(budget);
    let fallback_models = &llm.fallback_models;
    let all: Vec<String> = approve.iter().copied().cloned().collect();
    let approve_seconds = approve_seconds(llm);
    let above = ParentAgent {
        tools: &tools,
        approve: &all,
        approve_seconds,
        model: &model,
        fallback_models,
        depth: 0,
    };
    let team = Team::of(&context, above)?;
    let own = tools.offers.iter().cloned().chain(of_steps).chain(of_workflows);
    let offers: Vec<Tool> = own.chain(team.offers()).collect();
    tool::check_approve(&approve, &llm.approve, &offers)?;
    let turns = llm.max_turns.or(of_prompt.max_turns).or(of_role.max_turns);
    let max_tokens = llm.max_tokens.or(of_prompt.max_tokens).or(of_role.max_tokens);
    let task = Task {
        fallback_models: llm.fallback_models.clone(),
        model,
        system: Some(system).filter(|system| !system.is_empty()),
        prompt: text,
        tools: offers,
        approval: ApprovalRules { approve: all, approve_seconds },
        mcp: BTreeMap::new(),
        effort: llm.effort.clone().or_else(|| either(|it| it.effort.clone())),
        output: llm
            .output
            .clone()
            .or_else(|| schema_of(plan, step).filter(|schema| !is_text(schema)).cloned())
            .or_else(|| of_prompt.output.clone())
            .or(of_role.output),
        name: None,
        children: team.children(),
        limits: limits((turns, max_tokens), budget),
    };
    let servers = tools.servers;
    let (fetch_hosts, team) = (tools.fetch_hosts, Arc::new(team));
    Ok(Assignment { task, budget, fetch_hosts, servers, team, steps, workflows })
}

/// Seconds until an undecided call is rejected, at least one.
fn approve_seconds(llm: &Llm) -> Option<u64> {
    let length: std::time::Duration = llm.approve_timeout.as_ref()?.parse().ok()?;
    Some(length.as_secs().max(1))
}

/// The limits of an agent, from turns and output tokens per turn.
pub(super) fn limits((turns, max_tokens): (Option<u32>, Option<u32>), budget: Limit) -> Limits {
    Limits {
        turns: turns.unwrap_or(DEFAULT_TURNS),
        max_tokens: max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
        tokens: budget.tokens,
    }
}

// === impl Context ===

impl Context<'_> {
    /// Refuses models without a price.
    pub(super) fn priced<'m>(
        &self,
        mut models: impl Iterator<Item = &'m String>,
    ) -> Result<(), String> {
        let has_no_price = |model: &&String| self.claude.prices.find(model, self.today).is_none();
        let Some(unpriced) = models.find(has_no_price) else { return Ok(()) };
        let code = codes::NO_PRICE;
        Err(format!(
            "{code}: step `{}`: the model `{unpriced}` has no known price; name a file of prices in \
             `claude.prices` of the configuration, or use another model",
            self.step
        ))
    }
}

// === impl Pinned ===

impl Pinned {
    /// The rendered prompt, and the settings of its file.
    fn prompt(&self, prompt: &Prompt, scope: &Scope<'_>) -> Result<(String, Settings), String> {
        let mut reads = Reads::default();
        let file = match prompt {
            Prompt::Text(value) => {
                let text = resolve_text(value, scope, &mut reads);
                return Ok((text.map_err(|error| error.to_string())?, Settings::default()));
            }
            Prompt::File(file) => file,
        };
        let mut inputs = Map::new();
        for (name, value) in &file.inputs {
            let resolved = resolve(value, scope, &mut reads);
            let resolved = resolved.map_err(|error| format!("input `{name}`: {error}"))?;
            if let Some(secret) = resolved.secrets.first() {
                return Err(format!("input `{name}`: the secret `{}` is no input", secret.name));
            }
            inputs.insert(name.clone(), resolved.value);
        }
        let (parsed, partials) = self.file(&file.name)?;
        let text = parsed.render(&inputs, &partials).map_err(|found| words(&file.name, &found))?;
        Ok((text, parsed.settings().clone()))
    }

    /// A prompt file, with the partials it may include.
    pub(super) fn file(&self, name: &str) -> Result<(PromptFile, Partials), String> {
        let refused = |found: Vec<Diagnostic>| words(name, &found);
        let text = self.text("prompt", name).ok_or_else(|| format!("no prompt `{name}`"))?;
        let parsed = PromptFile::parse(&text.0, &text.1).map_err(refused)?;
        Ok((parsed, self.partials().map_err(refused)?))
    }

    pub(super) fn role(&self, name: &str) -> Result<Role, String> {
        let (file, text) = self
            .text("role", name)
            .ok_or_else(|| format!("the role `{name}` has no file; write .plue/roles/{name}.md"))?;
        let first = |found: Vec<Diagnostic>| {
            found.first().map(|one| one.message.clone()).unwrap_or_default()
        };
        Role::parse(&file, &text).map_err(|found| format!("role `{name}`: {}", first(found)))
    }

    /// Path and text, pinned or else shipped.
    fn text(&self, kind: &str, name: &str) -> Option<(String, String)> {
        if let Some(pinned) = self.texts.get(&format!("{kind} {name}")) {
            return pinned.as_ref().map(|text| (text.file.clone(), text.text.clone()));
        }
        let files = if kind == "role" {
            plue_prompts::shipped::ROLE_FILES
        } else {
            plue_prompts::shipped::LIBRARY_FILES
        };
        let shipped = files.iter().find(|shipped| shipped.name == name)?;
        Some((shipped.file.to_owned(), shipped.text.to_owned()))
    }

    /// All pinned prompts, for includes.
    fn partials(&self) -> Result<Partials, Vec<Diagnostic>> {
        let mut partials = Partials::new();
        for (key, text) in &self.texts {
            if let (Some(name), Some(text)) = (key.strip_prefix("prompt "), text) {
                partials.insert(name, &text.file, &text.text)?;
            }
        }
        Ok(partials)
    }
}

fn words(prompt: &str, found: &[Diagnostic]) -> String {
    let all: Vec<_> = found.iter().take(3).map(|one| one.message.clone()).collect();
    format!("prompt `{prompt}`: {}", all.join("; "))
}
