//! The state of an agent: what a fact changes, what follows from it, what is to be done next.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value as Json};

use crate::{
    agent::{
        Call, Decision, End, EndReason, Fact, Held, Input, MAX_BREAKS, MAX_CONVERSATION_BYTES,
        MAX_CUTS, Rejected, Task, approval, calls::Open, conversation::Conversation, guard::Guard,
    },
    answer::{Answer, Block, StopReason, Usage},
    price::PicoUsd,
    request::Request,
    tools,
};

/// The calls of an answer to a runner that is gone.
const UNKNOWN: &str = "The machine that ran this call was lost. Whether the call took effect is \
unknown; it is not repeated. Look at the state of the workspace before you go on.";

/// An agent: its transcript, folded.
#[derive(Debug, Clone, Default)]
pub struct Agent {
    pub(super) task: Option<Box<Task>>,
    conversation: Conversation,
    phase: Phase,
    /// Calls of the last answer, in its order.
    open: Vec<Open>,
    /// Ids of all calls that were decided about.
    pub(super) decided: HashSet<String>,
    /// Number of calls of earlier answers by id: some APIs count from the start in each answer.
    pub(super) earlier: HashMap<String, u32>,
    guard: Guard,
    totals: Totals,
    text: AnswerText,
    recovery: Recovery,
    pub(super) started: Started,
    /// The call that gave the result which is judged.
    submitted: Option<String>,
}

/// Numbers of what calls have started.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Started {
    pub(super) agents: u32,
    /// Runs of workflows, whatever became of them.
    runs: usize,
}

/// Text of the answers so far.
#[derive(Debug, Clone, Default)]
struct AnswerText {
    /// Since the agent's last message to the model.
    current: String,
    /// Of the latest answers that had one: the partial result of an agent that fails.
    latest: String,
}

/// Attempts to recover from bad answers.
#[derive(Debug, Clone, Copy, Default)]
struct Recovery {
    switches: usize,
    /// Answers in a row that broke off.
    breaks: u32,
    /// Answers in a row that `max_tokens` cut.
    cuts: u32,
    /// True after a correction of the result was requested.
    corrected: bool,
}

/// Sums over a transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Whole answers received; those that broke off do not count.
    pub turns: u32,
    /// Tokens that the API reported, in all four directions.
    pub tokens: u64,
    /// Cost of the answers whose cost is known.
    pub cost: PicoUsd,
}

/// The next thing to do. Level-triggered: it stays until an input changes the state.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Wait for [`Input::Start`]: the agent has no assignment.
    Begin,
    /// Send the request to the API; its answer or failure is an input.
    Ask(Box<Request>),
    /// Carry out the calls that need no approval, in parallel if possible; each result is an input.
    /// Ask people about the others; each decision is an input.
    Call(Vec<Call>),
    /// Judge the value by the schema of the task.
    Judge(Json),
    /// Stop: the agent has ended for good.
    End(Box<End>),
}

#[derive(Debug, Clone, Default)]
enum Phase {
    #[default]
    Idle,
    Asking,
    Calling,
    Judging(Json),
    /// An answer without calls and without a JSON result came; its consequence is not drawn yet.
    Weighing(Box<Answer>, NoJson),
    Ended(Box<End>),
}

/// The parser's words about a result that should be JSON; `None`: it need not be.
type NoJson = Option<String>;

// === impl Agent ===

impl Agent {
    /// The agent of a transcript.
    pub fn fold<'f>(facts: impl IntoIterator<Item = &'f Fact>) -> Self {
        let mut agent = Self::default();
        facts.into_iter().for_each(|fact| agent.evolve(fact));
        agent
    }

    /// Takes an input, and returns the facts that follow, in order. The state has them already.
    ///
    /// # Errors
    /// [`Rejected`]: the input does not fit the state, which stays as it is.
    pub fn apply(&mut self, input: Input) -> Result<Vec<Fact>, Rejected> {
        let mut facts = self.accept(input)?;
        facts.iter().for_each(|fact| self.evolve(fact));
        facts.extend(self.catch_up());
        Ok(facts)
    }

    /// The facts that follow from the state alone. None after [`Agent::apply`]; a transcript that was cut
    /// between two facts may lack some.
    pub fn catch_up(&mut self) -> Vec<Fact> {
        let mut facts = Vec::new();
        while let Some(fact) = self.follow_up() {
            self.evolve(&fact);
            facts.push(fact);
        }
        facts
    }

    /// The next effect, derived from the state without changing it.
    pub fn effect(&self) -> Effect {
        match (&self.phase, &self.task) {
            (Phase::Idle | Phase::Weighing(..), _) | (_, None) => Effect::Begin,
            (Phase::Asking, Some(task)) => {
                let messages = self.conversation.messages().to_vec();
                let model = task.model(self.recovery.switches).unwrap_or(&task.model);
                Effect::Ask(Box::new(task.request(model, messages, self.max_tokens(task))))
            }
            (Phase::Calling, Some(_)) => {
                let waits = |open: &&Open| open.result.is_none() && open.refused.is_none();
                Effect::Call(self.open.iter().filter(waits).map(|open| open.call.clone()).collect())
            }
            (Phase::Judging(value), Some(_)) => Effect::Judge(value.clone()),
            (Phase::Ended(end), Some(_)) => Effect::End(end.clone()),
        }
    }

    /// The assignment, once there is one.
    pub fn task(&self) -> Option<&Task> {
        self.task.as_deref()
    }

    /// Sums over the facts folded so far.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Runs of workflows started so far.
    pub fn runs(&self) -> usize {
        self.started.runs
    }

    /// True if the agent has ended, so that its next effect is [`Effect::End`].
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended(_))
    }

    /// The request whose answer the next fact is, unless that fact follows from the state alone.
    pub(crate) fn request(&self) -> Option<Box<Request>> {
        if self.follow_up().is_some() {
            return None;
        }
        match self.effect() {
            Effect::Ask(request) => Some(request),
            _ => None,
        }
    }

    fn accept(&self, input: Input) -> Result<Vec<Fact>, Rejected> {
        let end = |reason, message: String| Ok(vec![self.failed(reason, message)]);
        match (input, &self.phase) {
            (Input::Start(task), Phase::Idle) => Ok(vec![Fact::Started { task }]),
            (Input::Answered(answer, cost), Phase::Asking) => {
                Ok(vec![Fact::Answered { answer, cost: cost.map(|cost| cost.0) }])
            }
            (Input::Broke { usage, message }, Phase::Asking) => {
                Ok(vec![Fact::Broke { usage, message }])
            }
            (Input::Unanswered(message), Phase::Asking) => end(EndReason::Api, message),
            (Input::Unavailable(message), Phase::Asking) => match self.next_model() {
                Some(model) => Ok(vec![Fact::Switched { model: model.to_owned(), message }]),
                None => end(EndReason::Api, message),
            },
            (Input::Unpaid(message), Phase::Asking) => end(EndReason::Budget, message),
            (Input::NoTokens(message), Phase::Asking) => end(EndReason::Tokens, message),
            (Input::Diverged(divergence), Phase::Asking | Phase::Calling) => {
                Ok(vec![Fact::Ended { end: End::diverged(*divergence, self.text.latest.clone()) }])
            }
            (Input::Result { id, content, is_error }, Phase::Calling) => {
                let fits = |open: &Open| open.call.held.is_none() && open.result.is_none();
                if !self.open.iter().any(|open| open.call.id == id && fits(open)) {
                    return Err(Rejected("no such call is open"));
                }
                Ok(vec![Fact::Result { id, content, is_error }])
            }
            (Input::RunStarted { id, run }, Phase::Calling) => {
                let fits = |open: &Open| {
                    open.call.held.is_none() && open.result.is_none() && open.call.run.is_none()
                };
                if !self.open.iter().any(|open| open.call.id == id && fits(open)) {
                    return Err(Rejected("no such call may start a run"));
                }
                Ok(vec![Fact::RunStarted { id, run }])
            }
            (Input::Held { id, until }, Phase::Calling) => {
                match self.held(&id).ok_or(Rejected("no such call waits for a decision"))? {
                    Held { until: None } => Ok(vec![Fact::Held { id, until }]),
                    Held { until: Some(_) } => Err(Rejected("people are asked about it already")),
                }
            }
            (Input::Decided(decision), Phase::Calling) => {
                self.held(&decision.id).ok_or(Rejected("no such call waits for a decision"))?;
                let Decision { id, approve, by, at, message } = decision;
                Ok(vec![Fact::Decided { id, approve, by, at, message }])
            }
            (Input::RunnerLost, Phase::Calling) => {
                // No runner ever had those that wait for a decision.
                let fits = |open: &&Open| open.call.held.is_none() && open.result.is_none();
                let waits = self.open.iter().filter(fits);
                Ok(waits.map(|open| Fact::failed_result(&open.call.id, UNKNOWN)).collect())
            }
            (Input::RunnerLost, _) => Ok(Vec::new()),
            (Input::Judged(judgement), Phase::Judging(value)) => Ok(vec![match judgement {
                Ok(()) => Fact::Ended { end: End::done(value.clone()) },
                Err(words) => self.misfit(words),
            }]),
            _ => Err(Rejected("the input does not fit the state of the agent")),
        }
    }

    /// The end without a result, with the text so far.
    fn failed(&self, reason: EndReason, message: String) -> Fact {
        Fact::Ended { end: End::failed(reason, message, self.text.latest.clone()) }
    }

    fn held(&self, id: &str) -> Option<Held> {
        self.open.iter().find(|open| open.call.id == id)?.call.held
    }

    fn misfit(&self, words: String) -> Fact {
        if self.recovery.corrected {
            return self.failed(EndReason::Output, words);
        }
        let again = if self.is_submitted() {
            "Call `submit_output` again with the whole result, alone."
        } else {
            "Answer again with the whole result, as JSON that fits the schema and nothing else."
        };
        Fact::Corrected { message: format!("Your result was not accepted: {words}. {again}") }
    }

    /// True if the current model returns its result by a call.
    fn is_submitted(&self) -> bool {
        let Some(task) = &self.task else { return false };
        task.is_submitted(task.model(self.recovery.switches).unwrap_or(&task.model))
    }

    /// The call and value of a result that the answer gives, and nothing else.
    fn submission(&self, answer: &Answer) -> Option<(String, Json)> {
        let schema = self.task.as_ref()?.output.as_ref().filter(|_| self.is_submitted())?;
        let mut calls = answer.tool_calls();
        let call = calls.next().filter(|call| call.name == tools::SUBMIT)?;
        let value = tools::submitted(schema, call.input?);
        calls.next().is_none().then(|| (call.id.to_owned(), value))
    }

    /// The model that goes on if the current one is not available.
    fn next_model(&self) -> Option<&str> {
        self.task.as_ref()?.model(self.recovery.switches + 1)
    }

    fn max_tokens(&self, task: &Task) -> u32 {
        let left = task.limits.tokens.map(|all| all.saturating_sub(self.totals.tokens));
        let left = left.and_then(|left| u32::try_from(left).ok()).unwrap_or(u32::MAX);
        task.limits.max_tokens.min(left).max(1)
    }
}

// === impl Agent: consequences ===

impl Agent {
    fn follow_up(&self) -> Option<Fact> {
        let task = self.task.as_deref()?;
        let failed = |reason, message: String| Some(self.failed(reason, message));
        match &self.phase {
            Phase::Idle | Phase::Judging(_) | Phase::Ended(_) => None,
            Phase::Weighing(answer, no_json) => self.weigh(task, answer, no_json),
            Phase::Calling => self.open.iter().find_map(|open| {
                let refused = open.refused.as_ref().filter(|_| open.result.is_none())?;
                Some(Fact::failed_result(&open.call.id, refused.clone()))
            }),
            Phase::Asking if self.recovery.breaks > MAX_BREAKS => {
                let message = format!("{MAX_BREAKS} answers broke off, and the next as well");
                match self.next_model() {
                    Some(model) => Some(Fact::Switched { model: model.to_owned(), message }),
                    None => failed(EndReason::Api, message),
                }
            }
            Phase::Asking if self.guard.caught().is_some() => {
                let tool = self.guard.caught().unwrap_or_default();
                let message = format!(
                    "the model called `{tool}` with the same arguments and result again and again"
                );
                failed(EndReason::Loop, message)
            }
            Phase::Asking if self.totals.turns >= task.limits.turns => failed(
                EndReason::Turns,
                format!("no result after {} turns; raise `max_turns`", task.limits.turns),
            ),
            Phase::Asking if task.limits.tokens.is_some_and(|all| self.totals.tokens >= all) => {
                let used = self.totals.tokens;
                failed(EndReason::Tokens, format!("{used} tokens are used; raise `budget.tokens`"))
            }
            Phase::Asking if self.conversation.bytes() > MAX_CONVERSATION_BYTES => {
                failed(EndReason::Context, format!("more than {MAX_CONVERSATION_BYTES} bytes"))
            }
            Phase::Asking => None,
        }
    }

    /// The consequence of an answer without calls to carry out.
    fn weigh(&self, task: &Task, answer: &Answer, no_json: &NoJson) -> Option<Fact> {
        let failed = |reason, message: String| Some(self.failed(reason, message));
        match &answer.stop.reason {
            Some(StopReason::MaxTokens)
                if self.recovery.cuts <= MAX_CUTS && has_cut_call(answer) =>
            {
                Some(Fact::Corrected {
                    message: format!(
                        "Your answer was cut at {} tokens, before its tool call was whole. Nothing was \
                         carried out. Make a shorter call.",
                        task.limits.max_tokens
                    ),
                })
            }
            Some(StopReason::MaxTokens) => {
                let most = task.limits.max_tokens;
                failed(
                    EndReason::Cut,
                    format!("the answer has more than {most} tokens; raise `max_tokens`"),
                )
            }
            Some(StopReason::Refusal) => failed(EndReason::Refusal, refusal(answer)),
            Some(StopReason::ModelContextWindowExceeded) => {
                failed(EndReason::Context, "the model's context window is full".to_owned())
            }
            Some(StopReason::Other(word)) => {
                let word: String = word.chars().take(64).flat_map(char::escape_debug).collect();
                failed(EndReason::Api, format!("the answer ended as `{word}`, which is unknown"))
            }
            None
            | Some(
                StopReason::EndTurn
                | StopReason::StopSequence
                | StopReason::ToolUse
                | StopReason::PauseTurn,
            ) => Some(match no_json {
                None => Fact::Ended { end: End::done(Json::String(self.text.current.clone())) },
                Some(error) => self.misfit(format!("it is no JSON: {error}")),
            }),
        }
    }
}

// === impl Agent: facts ===

impl Agent {
    pub(crate) fn evolve(&mut self, fact: &Fact) {
        match fact {
            Fact::Started { task } => {
                self.conversation.user(vec![Block::text(task.prompt.clone())]);
                self.task = Some(task.clone());
                self.phase = Phase::Asking;
            }
            Fact::Answered { answer, cost } => self.answered(answer, cost.map(PicoUsd)),
            Fact::Broke { usage, .. } => {
                self.recovery.breaks += 1;
                self.totals.tokens = self.totals.tokens.saturating_add(tokens(usage));
            }
            Fact::Result { id, content, is_error } => self.result(id, content, *is_error),
            Fact::RunStarted { id, run } => {
                self.started.runs += 1;
                if let Some(open) = self.open.iter_mut().find(|open| open.call.id == *id) {
                    open.call.run = Some(run.clone());
                }
            }
            Fact::Held { id, until } => {
                let of_call = |open: &&mut Open| open.call.id == *id && open.call.held.is_some();
                if let Some(open) = self.open.iter_mut().find(of_call) {
                    open.call.held = Some(Held { until: Some(*until) });
                }
            }
            Fact::Decided { id, approve, by, at, message } => {
                let (by, message) = (by.clone(), message.clone());
                let (id, approve, at) = (id.clone(), *approve, *at);
                self.decide(&Decision { id, approve, by, at, message });
            }
            Fact::Corrected { message } => {
                self.recovery.corrected |= self.recovery.cuts == 0;
                self.text.current.clear();
                self.conversation.user(vec![match self.submitted.take() {
                    Some(id) => Block::tool_result(&id, message, true),
                    None => Block::text(message.clone()),
                }]);
                self.phase = Phase::Asking;
            }
            Fact::Switched { .. } => {
                self.recovery.switches += 1;
                self.recovery.breaks = 0;
                // Reasoning goes back to its own model only.
                self.conversation.forget_reasoning();
            }
            Fact::Ended { end } => self.phase = Phase::Ended(Box::new(end.clone())),
        }
    }

    fn answered(&mut self, answer: &Answer, cost: Option<PicoUsd>) {
        self.totals.turns = self.totals.turns.saturating_add(1);
        self.totals.tokens = self.totals.tokens.saturating_add(tokens(&answer.usage));
        self.totals.cost = self.totals.cost.plus(cost.unwrap_or_default());
        self.recovery.breaks = 0;
        self.conversation.assistant(answer);
        self.text.current.push_str(&answer.text());
        if !self.text.current.trim().is_empty() {
            self.text.latest.clone_from(&self.text.current);
        }
        let reason = answer.stop.reason.as_ref();
        let is_cut = has_cut_call(answer);
        self.recovery.cuts = if is_cut { self.recovery.cuts + 1 } else { 0 };
        let ends = matches!(
            reason,
            Some(
                StopReason::MaxTokens
                    | StopReason::Refusal
                    | StopReason::ModelContextWindowExceeded
            )
        );
        let submission = if ends { None } else { self.submission(answer) };
        let is_over = ends || submission.is_some();
        self.open = if is_over { Vec::new() } else { self.calls(answer) };
        for call in answer.tool_calls() {
            *self.earlier.entry(call.id.to_owned()).or_default() += 1;
        }
        let started = self.open.iter().filter(|open| open.call.agent.is_some()).count();
        let started = u32::try_from(started).unwrap_or(u32::MAX);
        self.started.agents = self.started.agents.saturating_add(started);
        self.phase = if let Some((id, value)) = submission {
            self.submitted = Some(id);
            Phase::Judging(value)
        } else if !self.open.is_empty() {
            Phase::Calling
        } else if reason == Some(&StopReason::PauseTurn) {
            self.conversation.resume_paused();
            Phase::Asking
        } else {
            let has_schema = self.task.as_ref().is_some_and(|task| task.output.is_some());
            let result =
                (has_schema && !ends).then(|| serde_json::from_str(self.text.current.trim()));
            match result {
                Some(Ok(value)) => Phase::Judging(value),
                Some(Err(error)) => {
                    Phase::Weighing(Box::new(answer.clone()), Some(error.to_string()))
                }
                None => Phase::Weighing(Box::new(answer.clone()), None),
            }
        };
    }

    pub(super) fn refusal(&self, name: &str, input: &Map<String, Json>) -> Option<String> {
        let Some(task) = &self.task else { return Some("there are no tools".to_owned()) };
        if name == tools::SUBMIT && self.is_submitted() {
            return Some(
                "`submit_output` is called alone, after the results of all others".to_owned(),
            );
        }
        task.refusal(name, input)
    }

    fn decide(&mut self, decision: &Decision) {
        let of_call = |open: &&mut Open| open.call.id == decision.id && open.call.held.is_some();
        let Some(open) = self.open.iter_mut().find(of_call) else { return };
        open.call.held = None;
        open.refused = (!decision.approve).then(|| approval::rejection(decision));
        self.decided.insert(decision.id.clone());
    }

    pub(super) fn starts_agent(&self, tool: &str) -> bool {
        self.task.as_ref().is_some_and(|task| task.starts_agent(tool))
    }

    fn result(&mut self, id: &str, content: &str, is_error: bool) {
        let waits = |open: &&mut Open| open.call.id == id && open.result.is_none();
        let Some(open) = self.open.iter_mut().find(waits) else { return };
        open.result = Some(Block::tool_result(id, content, is_error));
        self.guard.note(&open.call.name, &Json::Object(open.call.input.clone()), content);
        if self.open.iter().all(|open| open.result.is_some()) {
            let results = self.open.drain(..).filter_map(|open| open.result).collect();
            self.conversation.user(results);
            self.text.current.clear();
            self.phase = Phase::Asking;
        }
    }
}

/// True if `max_tokens` cut a call of the answer.
fn has_cut_call(answer: &Answer) -> bool {
    let cut = answer.tool_calls().any(|call| call.input.is_none());
    cut && answer.stop.reason == Some(StopReason::MaxTokens)
}

fn refusal(answer: &Answer) -> String {
    let details = answer.stop.details.as_ref();
    let field = |name: &str| {
        let text = details.and_then(|details| details.get(name)?.as_str());
        text.map(crate::error::shortened)
    };
    let category = field("category").map(|it| format!(" ({it})")).unwrap_or_default();
    let why = field("explanation").map(|it| format!(": {it}")).unwrap_or_default();
    format!("the model declined to answer{category}{why}")
}

fn tokens(usage: &Usage) -> u64 {
    let parts = [
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_creation_input_tokens,
        usage.cache_read_input_tokens,
    ];
    parts.iter().flatten().fold(0, |sum, part| sum.saturating_add(*part))
}
