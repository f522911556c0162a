//! The result of an agent as one record, computed from its transcript.

use std::collections::{BTreeMap, BTreeSet};

use plue_api::records::claude::ClaudeUsageRecord;
use plue_llm::{
    StopReason, Usage,
    agent::{End, EndReason, Fact},
};
use plue_store::usage::claude::Spend;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use super::TranscriptFact;

/// Tools whose calls name the one file that they change.
const FILE_TOOLS: [&str; 2] = ["write", "edit"];

/// The result of a Claude step, or of an agent that another one started.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AgentResult {
    /// The step, attempt and agent that the result is of.
    #[serde(flatten)]
    pub agent: ResultOf,
    /// The latest text of the model; after a failure a partial result.
    pub text: Option<String>,
    /// The result that fits the schema of the step; null without a schema, and after a failure.
    pub structured: Json,
    /// Paths that the tools `write` and `edit` changed. Changes of commands are not known here.
    pub files_changed: BTreeSet<String>,
    /// Tokens that the API reported, of broken answers too, and the cost of the answers whose cost is known.
    pub usage: ClaudeUsageRecord,
    /// Stop reason of the last answer, as the API spells it; null: there was no answer.
    pub stop_reason: Option<String>,
    /// Whole answers of the model.
    pub turns: u32,
    /// Calls of tools that have a result.
    pub tool_calls: u32,
    /// `done`, a limit (`turns`, `tokens`, `budget`, `loop`) or a failure; null: the agent is at work.
    pub end: Option<String>,
    /// The message of a failure; absent after a success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An agent by its attempt.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ResultOf {
    /// Id of the step.
    pub step: String,
    /// Visit of the step, from 1.
    pub visit: u32,
    /// Number of the attempt within the visit.
    pub attempt: u32,
    /// Role or prompt, and numbers, of an agent that another one started. Absent: the step's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
}

/// A result under construction.
struct Folded {
    result: AgentResult,
    spend: Spend,
    has_schema: bool,
    /// Files of the open calls of the last answer, by call.
    files: BTreeMap<String, String>,
}

/// The results of all agents of a transcript document, in its order.
#[must_use]
pub fn results(facts: &[TranscriptFact]) -> Vec<AgentResult> {
    facts.chunk_by(|a, b| a.place() == b.place()).filter_map(of_agent).collect()
}

fn of_agent(facts: &[TranscriptFact]) -> Option<AgentResult> {
    let first = facts.first()?;
    let spend = Spend::default();
    let result = AgentResult {
        agent: ResultOf {
            step: first.step.clone(),
            visit: first.visit,
            attempt: first.attempt,
            agent: first.agent.clone(),
        },
        text: None,
        structured: Json::Null,
        files_changed: BTreeSet::new(),
        usage: ClaudeUsageRecord::of(&spend),
        stop_reason: None,
        turns: 0,
        tool_calls: 0,
        end: None,
        error: None,
    };
    let mut folded = Folded { result, spend, has_schema: false, files: BTreeMap::new() };
    for fact in facts {
        // Facts of a newer engine change nothing here.
        if let Ok(fact) = serde_json::from_value(fact.record.fact.clone()) {
            folded.take(fact);
        }
    }
    folded.result.usage = ClaudeUsageRecord::of(&folded.spend);
    Some(folded.result)
}

// === impl Folded ===

impl Folded {
    fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Started { task } => self.has_schema = task.output.is_some(),
            Fact::Answered { answer, cost } => {
                self.spent(&answer.usage, cost);
                let result = &mut self.result;
                result.turns += 1;
                let reason = answer.stop.reason.as_ref().map(StopReason::as_str);
                result.stop_reason = reason.map(str::to_owned);
                let text = answer.text();
                if !text.trim().is_empty() {
                    result.text = Some(text);
                }
                let calls = answer.tool_calls().filter(|call| FILE_TOOLS.contains(&call.name));
                let file = |input: &serde_json::Map<String, Json>| {
                    input.get("path").and_then(Json::as_str).map(str::to_owned)
                };
                let files =
                    calls.filter_map(|call| Some((call.id.to_owned(), call.input.and_then(file)?)));
                self.files = files.collect();
            }
            Fact::Broke { usage, .. } => self.spent(&usage, None),
            Fact::Result { id, is_error, .. } => {
                self.result.tool_calls += 1;
                if let Some(path) = self.files.remove(&id).filter(|_| !is_error) {
                    self.result.files_changed.insert(path);
                }
            }
            Fact::Ended { end } => self.ended(end),
            Fact::Held { .. }
            | Fact::RunStarted { .. }
            | Fact::Decided { .. }
            | Fact::Corrected { .. }
            | Fact::Switched { .. } => {}
        }
    }

    fn ended(&mut self, end: End) {
        let result = &mut self.result;
        result.error = end.error();
        let reason = serde_json::to_value(end.reason).ok();
        result.end = reason.and_then(|reason| reason.as_str().map(str::to_owned));
        match end.output {
            Json::String(text) if !self.has_schema || end.reason != EndReason::Done => {
                result.text = Some(text);
            }
            output if self.has_schema && end.reason == EndReason::Done => {
                result.structured = output;
            }
            _ => {}
        }
    }

    fn spent(&mut self, usage: &Usage, cost: Option<u64>) {
        let spend = &mut self.spend;
        for (sum, count) in [
            (&mut spend.calls, Some(1)),
            (&mut spend.input_tokens, usage.input_tokens),
            (&mut spend.output_tokens, usage.output_tokens),
            (&mut spend.cache_read_tokens, usage.cache_read_input_tokens),
            (&mut spend.cache_write_tokens, usage.cache_creation_input_tokens),
            (&mut spend.cost, cost),
        ] {
            *sum = sum.saturating_add(count.unwrap_or_default());
        }
    }
}
