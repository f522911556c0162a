//! A prompt outside of a run: the task of a step that has only this prompt, and the checks that a run
//! makes of money and answers.
//!
//! Must not call a model: the caller performs the agent.

use std::collections::BTreeMap;

use plue_llm::{PicoUsd, Request, agent::Task, price::Price};
use plue_plan::{
    Action, Plan, Step, Value,
    action::{Llm, Prompt},
};
use plue_prompts::prompt::Settings;
use plue_spec::Scope;
use serde_json::{Value as Json, json};

use super::{
    Claude,
    assignment::assignment,
    spending::{FEWEST_TOKENS, highest_input},
};
use crate::perform::output::{self, Unfit};

/// A prompt that was rendered, with what belongs to it.
#[derive(Debug, Clone)]
pub struct PromptTrial {
    /// Name of the prompt.
    pub name: String,
    /// The rendered text.
    pub text: String,
    /// Settings of the prompt's file.
    pub settings: Settings,
    /// Path and text of the file of its role.
    pub role: Option<(String, String)>,
}

// === impl PromptTrial ===

impl PromptTrial {
    /// The task of the agent, and what the prompt or its role lets it spend. `today` finds the price of
    /// the model.
    ///
    /// # Errors
    /// A text for the author, with a code.
    pub fn task(
        self,
        claude: &Claude,
        today: jiff::civil::Date,
    ) -> Result<(Task, Option<PicoUsd>), String> {
        let Self { name, text, settings, role } = self;
        // Settings of a step come before those of its role, as those of a prompt do.
        let llm = Llm {
            prompt: Prompt::Text(Value::text(text)),
            model: settings.model,
            fallback_models: Vec::new(),
            system: None,
            tools: settings.tools,
            approve: Vec::new(),
            approve_timeout: None,
            mcp: Vec::new(),
            max_turns: settings.max_turns,
            max_tokens: settings.max_tokens,
            budget: settings.budget,
            output: settings.output,
            role: settings.role,
            effort: settings.effort,
        };
        let mut texts = BTreeMap::new();
        if let (Some((file, text)), Some(role)) = (role, &llm.role) {
            texts.insert(format!("role {role}"), json!({ "file": file, "text": text }));
        }
        let step = Step::new(name, Action::Llm(Box::new(llm.clone())));
        let read_set = json!({ "texts": texts });
        let plan = Plan::new(step.id.as_str(), vec![step.clone()]);
        let all = (&plan, &step, &llm);
        let mut assignment = assignment(all, &read_set, &Scope::new(), claude, today)?;
        // Results come from the case: nothing is carried out that a person would approve.
        assignment.task.approval.approve.clear();
        Ok((assignment.task, assignment.budget.usd))
    }
}

/// Shortens the answer that a request asks for to what `left` pays for. Returns its highest cost.
///
/// # Errors
/// The possible cost of the call, where not even a short answer is paid for.
pub fn afford(request: &mut Request, price: &Price, left: PicoUsd) -> Result<PicoUsd, PicoUsd> {
    let input = highest_input(request);
    let amount = price.at_most(input, request.max_tokens.into());
    if amount <= left {
        return Ok(amount);
    }
    let tokens = price.affordable_output(left, input).min(request.max_tokens.into());
    let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
    if tokens < FEWEST_TOKENS {
        return Err(amount);
    }
    request.max_tokens = tokens;
    Ok(price.at_most(input, tokens.into()))
}

/// Judges an answer by a JSON Schema, within the budget of a step's output.
///
/// # Errors
/// The validator's words.
pub async fn judge(schema: &Json, answer: &Json) -> Result<(), String> {
    match output::check_answer(schema, answer).await {
        Ok(()) => Ok(()),
        Err(Unfit::Refused(words) | Unfit::Interrupted(words)) => Err(words),
    }
}
