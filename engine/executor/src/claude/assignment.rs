//! The assignment of an agent: from the step, its prompt, its role and the operator's defaults.
//!
//! Texts of prompts and roles are those that were pinned with the plan.

use std::collections::{BTreeMap, BTreeSet};

use plue_llm::{
    agent::{DEFAULT_MAX_TOKENS, DEFAULT_TURNS, Limits, Task},
    codes,
};
use plue_plan::{
    Plan, Step,
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
    tool::{self, Selected},
};

/// The request of a role that has all it needs.
const ROLE_ALONE: &str = "Do your task.";
/// The line before the goal of a plan, in the system prompt of its agents.
const GOAL: &str = "The goal of the workflow that your task is a part of:";

/// The start of an agent: its task and its budget.
#[derive(Debug, Clone)]
pub(crate) struct Assignment {
    /// Task for the agent's state machine.
    pub(crate) task: Task,
    /// The limits of the step's spending.
    pub(crate) budget: Limit,
    /// Hosts that `fetch` may reach, if it is offered.
    pub(crate) fetch_hosts: Vec<String>,
    /// MCP servers of which tools are offered, once their definitions are known.
    pub(crate) servers: Vec<Selected>,
}

/// Texts as the read-set of a plan has them.
#[derive(Debug, Default, Deserialize)]
struct Pinned {
    #[serde(default)]
    texts: BTreeMap<String, Option<PinnedText>>,
}

#[derive(Debug, Deserialize)]
struct PinnedText {
    file: String,
    text: String,
}

/// Whether a schema asks for a text, which every answer is.
fn is_text(schema: &Json) -> bool {
    schema.get("type").and_then(Json::as_str) == Some("string")
}

/// Puts an assignment together.
///
/// # Errors
/// A text for the author, with a code.
pub(crate) fn assignment(
    (plan, step, llm): (&Plan, &Step, &Llm),
    read_set: &Json,
    scope: &Scope<'_>,
    claude: &Claude,
    today: jiff::civil::Date,
) -> Result<Assignment, String> {
    let bad = |why: String| format!("{}: step `{}`: {why}", codes::BAD_PROMPT, step.id);
    let pinned = Pinned::deserialize(read_set).unwrap_or_default();
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
    let tools = tool::named(tools, &llm.mcp, &claude.fetch_hosts)?;
    let approve = [&llm.approve, &of_prompt.approve, &of_role.approve];
    let approve: BTreeSet<&String> = approve.into_iter().flatten().collect();
    tool::check_approve(&approve, &llm.approve, &tools.offers)?;
    let model = llm.model.clone().or_else(|| either(|it| it.model.clone()));
    let model = model.unwrap_or_else(|| claude.model.clone());
    let has_no_price = |model: &&String| claude.prices.find(model, today).is_none();
    let models = || std::iter::once(&model).chain(&llm.fallback_models);
    if let Some(unpriced) = models().find(has_no_price) {
        let code = codes::NO_PRICE;
        return Err(format!(
            "{code}: step `{}`: the model `{unpriced}` has no known price; name a file of prices in \
             `claude.prices` of the configuration, or use another model",
            step.id
        ));
    }
    let budget = llm.budget.as_ref().or(of_prompt.budget.as_ref()).or(of_role.budget.as_ref());
    let turns = llm.max_turns.or(of_prompt.max_turns).or(of_role.max_turns);
    let max_tokens = llm.max_tokens.or(of_prompt.max_tokens).or(of_role.max_tokens);
    let task = Task {
        fallback_models: llm.fallback_models.clone(),
        model,
        system: Some(system).filter(|system| !system.is_empty()),
        prompt: text,
        tools: tools.offers,
        approve: approve.into_iter().cloned().collect(),
        approve_seconds: approve_seconds(llm),
        mcp: BTreeMap::new(),
        effort: llm.effort.clone().or_else(|| either(|it| it.effort.clone())),
        output: llm
            .output
            .clone()
            .or_else(|| schema_of(plan, step).filter(|schema| !is_text(schema)).cloned())
            .or_else(|| of_prompt.output.clone())
            .or(of_role.output),
        limits: Limits {
            turns: turns.unwrap_or(DEFAULT_TURNS),
            max_tokens: max_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
            tokens: budget.and_then(|budget| budget.tokens),
        },
    };
    let budget = Limit::of(budget);
    Ok(Assignment { task, budget, fetch_hosts: tools.fetch_hosts, servers: tools.servers })
}

/// Seconds that a call waits for people, at least one.
fn approve_seconds(llm: &Llm) -> Option<u64> {
    let length: std::time::Duration = llm.approve_timeout.as_ref()?.parse().ok()?;
    Some(length.as_secs().max(1))
}

// === impl Pinned ===

impl Pinned {
    /// The text of the request, and the settings of its prompt file.
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
        let said = |found: Vec<plue_plan::Diagnostic>| {
            let all: Vec<_> = found.iter().take(3).map(|one| one.message.clone()).collect();
            format!("prompt `{}`: {}", file.name, all.join("; "))
        };
        let text =
            self.text("prompt", &file.name).ok_or_else(|| format!("no prompt `{}`", file.name))?;
        let parsed = PromptFile::parse(&text.0, &text.1).map_err(said)?;
        let text = parsed.render(&inputs, &self.partials().map_err(said)?).map_err(said)?;
        Ok((text, parsed.settings().clone()))
    }

    fn role(&self, name: &str) -> Result<Role, String> {
        let (file, text) = self
            .text("role", name)
            .ok_or_else(|| format!("the role `{name}` has no file; write .plue/roles/{name}.md"))?;
        let first = |found: Vec<plue_plan::Diagnostic>| {
            found.first().map(|one| one.message.clone()).unwrap_or_default()
        };
        Role::parse(&file, &text).map_err(|found| format!("role `{name}`: {}", first(found)))
    }

    /// Path and text: as pinned, else as shipped.
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

    /// Every pinned prompt; a prompt takes those that it includes.
    fn partials(&self) -> Result<Partials, Vec<plue_plan::Diagnostic>> {
        let mut partials = Partials::new();
        for (key, text) in &self.texts {
            if let (Some(name), Some(text)) = (key.strip_prefix("prompt "), text) {
                partials.insert(name, &text.file, &text.text)?;
            }
        }
        Ok(partials)
    }
}
