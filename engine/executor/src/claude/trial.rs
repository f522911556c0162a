//! A trial of a prompt outside of a run: the task of a step with only this prompt, and a run's checks of money
//! and answers.
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
use crate::perform::output::{self, SchemaMismatch};

/// A rendered prompt with its settings and role.
#[derive(Debug, Clone)]
pub struct PromptTrial {
    /// Name of the prompt's file.
    pub name: String,
    /// The prompt with its inputs filled in.
    pub text: String,
    /// Settings of the prompt's file.
    pub settings: Settings,
    /// Path and text of the file of its role.
    pub role: Option<(String, String)>,
}

// === impl PromptTrial ===

impl PromptTrial {
    /// The task of the agent, and the budget of the prompt or its role. `today` selects the model's price.
    ///
    /// # Errors
    /// A text for the author, with a code.
    pub fn task(
        self,
        claude: &Claude,
        today: jiff::civil::Date,
    ) -> Result<(Task, Option<PicoUsd>), String> {
        let Self { name, text, settings, role } = self;
        // Settings of a step override those of its role, as those of a prompt do.
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
        // Results come from the test case, so no call needs approval.
        assignment.task.approval.approve.clear();
        Ok((assignment.task, assignment.budget.usd))
    }
}

/// Limits the answer of a request to the money `left`. Returns its highest cost.
///
/// # Errors
/// The highest cost of the call, if `left` does not pay for a useful answer.
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

/// Validates an answer against a JSON Schema, within the budget of a step's output.
///
/// # Errors
/// The message of the validator.
pub async fn judge(schema: &Json, answer: &Json) -> Result<(), String> {
    match output::check_answer(schema, answer).await {
        Ok(()) => Ok(()),
        Err(SchemaMismatch::Refused(words) | SchemaMismatch::Interrupted(words)) => Err(words),
    }
}
