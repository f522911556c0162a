//! From the journal of a run to its spans. Pure: the same journal gives the same spans.
//!
//! Must not reveal content of steps: names, times, results and ids only.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use plue_executor::{
    Origin,
    trace::{TraceContext, Traces, caller_of, span_of_attempt, span_of_call, span_of_run},
};
use plue_flow::{Fact, RunStatus, fact::Outcome};
use plue_plan::{AttemptId, Event, Plan, StepId};
use plue_store::{
    RunRow, StoredRun, TranscriptId as _,
    usage::claude::{CallRow, Spend},
};

use super::names::{self, gen_ai, own, result, state};

/// Characters of a text in an attribute.
const MAX_TEXT: usize = 256;
/// Attempts of a run that become spans; the others are only counted.
pub(super) const MAX_ATTEMPTS: usize = 10_000;

/// Calls of models of a run that become spans and are summed up.
pub(super) const MAX_CALLS: u32 = 10_000;
/// Picodollars of a nanodollar.
const NANO: u64 = 1_000;

/// Subject of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A run: `SERVER`.
    Run,
    /// An attempt: `INTERNAL`.
    Attempt,
    /// A call of a model: `CLIENT`.
    Call,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(i64),
}

/// An event of a span: its name, when it was, and one attribute.
pub(super) type Moment = (&'static str, Timestamp, Option<(&'static str, &'static str)>);

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) context: TraceContext,
    pub(super) parent: Option<[u8; 8]>,
    /// The parent is a span of the caller's trace.
    pub(super) remote: bool,
    pub(super) kind: Kind,
    pub(super) name: String,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) attributes: Vec<(&'static str, Value)>,
    pub(super) events: Vec<Moment>,
    /// Set if it did not end well; a class of errors, no text of a step.
    pub(super) error: Option<&'static str>,
}

/// A run from its creation or a retry to the end that followed.
struct Part {
    number: u32,
    start: Timestamp,
    events: Vec<(&'static str, Timestamp)>,
    attempts: Vec<Attempt>,
    known: HashMap<AttemptId, usize>,
}

/// An attempt as the journal has it.
struct Attempt {
    id: AttemptId,
    step: StepId,
    visit: u32,
    number: u32,
    queued: Timestamp,
    started: Option<Timestamp>,
    runner: Option<String>,
    ended: Option<(Timestamp, Outcome)>,
}

/// Records that the spans of a run are made from.
pub(super) struct Source<'a> {
    pub(super) stored: &'a StoredRun,
    /// Calls of models by its attempts, oldest first.
    pub(super) calls: &'a [CallRow],
    pub(super) plan: &'a Plan,
    pub(super) origin: &'a Origin,
    pub(super) traces: &'a Traces,
    /// Address of the server for people.
    pub(super) url: Option<&'a str>,
}

// === impl Source ===

impl Source<'_> {
    /// The spans of the part of the run that ended with the fact of this number: the run's first, then
    /// those of its attempts, then those of their calls of models. None if it did not end there.
    pub(super) fn spans(&self, seq: u64) -> Vec<Span> {
        let upto = usize::try_from(seq).unwrap_or(usize::MAX);
        let journal = self.stored.journal.iter().take(upto);
        let mut parts: Vec<Part> = Vec::new();
        for (at, fact) in journal.clone() {
            if matches!(fact, Fact::RunCreated { .. } | Fact::RunReopened { .. }) {
                let number = u32::try_from(parts.len()).unwrap_or(u32::MAX);
                let events = vec![(state::PENDING, *at)];
                let (attempts, known) = (Vec::new(), HashMap::new());
                parts.push(Part { number, start: *at, events, attempts, known });
            }
            if let Some(part) = parts.last_mut() {
                part.take_in(*at, fact);
            }
        }
        let end = journal.rev().find_map(|(at, fact)| match fact {
            Fact::RunEnded { status, .. } => Some((*at, *status)),
            _ => None,
        });
        let (Some(part), Some((at, status))) = (parts.pop(), end) else { return Vec::new() };
        let mut run = self.of_run(&part, at, status);
        let attempts = part.attempts.iter().take(MAX_ATTEMPTS).filter_map(|attempt| {
            let (at, outcome) = attempt.ended.as_ref()?;
            Some(self.of_attempt(&run, attempt, *at, outcome))
        });
        let mut attempts: Vec<_> = attempts.collect();
        let is_of_part = |call: &&CallRow| part.known.contains_key(&call.attempt.attempt());
        let mut sums: HashMap<[u8; 8], Spend> = HashMap::new();
        for call in self.calls.iter().filter(is_of_part) {
            let above = with_above(&call.attempt).into_iter().map(|id| span_of_attempt(&id));
            for span in above.chain([run.context.span]) {
                let sum = sums.entry(span).or_default();
                *sum = sum.plus(call.spend);
            }
        }
        let calls: Vec<_> =
            self.calls.iter().filter(is_of_part).map(|call| of_call(&run, call)).collect();
        let mut agents = agents(&run, self.calls.iter().filter(is_of_part));
        for span in std::iter::once(&mut run).chain(&mut attempts).chain(&mut agents) {
            let Some(sum) = sums.get(&span.context.span) else { continue };
            let attributes =
                [(own::CALLS, number(sum.calls)), (own::COST, number(sum.cost / NANO))];
            span.attributes.extend(attributes);
        }
        std::iter::once(run).chain(attempts).chain(agents).chain(calls).collect()
    }

    fn of_run(&self, part: &Part, end: Timestamp, status: RunStatus) -> Span {
        let row = &self.stored.run;
        let root = self.traces.of_run(&row.id, self.origin);
        let (parent, remote) = match part.number {
            0 => (caller_of(self.origin).map(|caller| caller.span), true),
            _ => (Some(root.span), false),
        };
        let (result, error) = of_run(status);
        let mut attributes = vec![
            (names::CICD_PIPELINE_NAME, text(&row.workflow)),
            (names::CICD_PIPELINE_ACTION_NAME, text(names::ACTION)),
            (names::CICD_PIPELINE_RUN_ID, text(row.id.as_str())),
            (names::CICD_PIPELINE_RESULT, text(result)),
            (own::PLAN, text(&row.plan.to_string())),
        ];
        attributes
            .extend(self.run_url().map(|url| (names::CICD_PIPELINE_RUN_URL_FULL, text(&url))));
        attributes.extend(error.map(|error| (names::ERROR_TYPE, text(error))));
        if part.number > 0 {
            attributes.push((own::RETRY, Value::Number(part.number.into())));
        }
        attributes.extend(vcs(row, &self.stored.source.event));
        let events = part.events.iter().map(|(state, at)| {
            (names::CICD_PIPELINE_RUN_STATE, *at, Some((names::CICD_PIPELINE_RUN_STATE, *state)))
        });
        Span {
            context: TraceContext { span: span_of_run(&row.id, part.number), ..root },
            parent,
            remote: remote && parent.is_some(),
            kind: Kind::Run,
            name: format!("{} {}", names::ACTION, cut(&row.workflow)),
            start: part.start,
            end,
            attributes,
            events: events.collect(),
            error,
        }
    }

    fn of_attempt(&self, run: &Span, attempt: &Attempt, end: Timestamp, how: &Outcome) -> Span {
        let (result, error) = of_attempt(how);
        let mut attributes = vec![
            (names::CICD_PIPELINE_TASK_NAME, text(attempt.step.as_str())),
            (names::CICD_PIPELINE_TASK_RUN_ID, text(attempt.id.as_str())),
            (names::CICD_PIPELINE_TASK_RUN_RESULT, text(result)),
            (own::VISIT, Value::Number(attempt.visit.into())),
            (own::NUMBER, Value::Number(attempt.number.into())),
        ];
        let step = self.plan.step(&attempt.step);
        attributes
            .extend(step.map(|step| (names::CICD_PIPELINE_TASK_TYPE, text(step.action.kind()))));
        attributes.extend(self.run_url().map(|url| {
            let url = format!("{url}/attempts/{}", attempt.id);
            (names::CICD_PIPELINE_TASK_RUN_URL_FULL, text(&url))
        }));
        let runner = attempt.runner.as_ref();
        attributes.extend(runner.map(|runner| (names::CICD_WORKER_ID, text(runner))));
        if let Outcome::Exit { code, .. } = how {
            attributes.push((own::EXIT_CODE, Value::Number((*code).into())));
        }
        attributes.extend(error.map(|error| (names::ERROR_TYPE, text(error))));
        let started = attempt.started.map(|at| (own::STARTED, at, None));
        Span {
            context: TraceContext { span: span_of_attempt(&attempt.id), ..run.context },
            parent: Some(run.context.span),
            remote: false,
            kind: Kind::Attempt,
            name: attempt.step.to_string(),
            start: attempt.queued.min(end),
            end,
            attributes,
            events: started.into_iter().collect(),
            error,
        }
    }

    fn run_url(&self) -> Option<String> {
        let base = self.url?.trim_end_matches('/');
        Some(format!("{base}/runs/{}", self.stored.run.id))
    }
}

// === impl Part ===

impl Part {
    fn take_in(&mut self, at: Timestamp, fact: &Fact) {
        match fact {
            Fact::RunStarted => self.events.push((state::EXECUTING, at)),
            Fact::AttemptQueued { step, visit, number, attempt } => {
                self.known.insert(attempt.clone(), self.attempts.len());
                self.attempts.push(Attempt {
                    id: attempt.clone(),
                    step: step.clone(),
                    visit: *visit,
                    number: *number,
                    queued: at,
                    started: None,
                    runner: None,
                    ended: None,
                });
            }
            Fact::AttemptAssigned { attempt, runner, .. } => {
                if let Some(attempt) = self.attempt(attempt) {
                    attempt.runner = Some(runner.to_string());
                }
            }
            Fact::AttemptStarted { attempt, runner, began, .. } => {
                if let Some(attempt) = self.attempt(attempt) {
                    attempt.started = Some(began.unwrap_or(at));
                    attempt.runner = runner.as_ref().map(ToString::to_string);
                }
            }
            Fact::AttemptEnded { attempt, outcome, .. } => {
                if let Some(attempt) = self.attempt(attempt) {
                    attempt.ended = Some((at, outcome.clone()));
                }
            }
            Fact::RunCreated { .. }
            | Fact::ConditionEvaluated { .. }
            | Fact::AttemptUnschedulable { .. }
            | Fact::AttemptSchedulable { .. }
            | Fact::AttemptWaiting { .. }
            | Fact::DecisionMade { .. }
            | Fact::CallsAsked { .. }
            | Fact::ChildStarted { .. }
            | Fact::OutputsEvaluated { .. }
            | Fact::AttemptRequeued { .. }
            | Fact::RetryScheduled { .. }
            | Fact::StepEnded { .. }
            | Fact::LoopedBack { .. }
            | Fact::CancelRequested { .. }
            | Fact::RunTimedOut
            | Fact::RunReopened { .. }
            | Fact::RunEnded { .. } => {}
        }
    }

    fn attempt(&mut self, id: &AttemptId) -> Option<&mut Attempt> {
        self.attempts.get_mut(*self.known.get(id)?)
    }
}

/// The ids of the agents from this one up to that of its attempt.
fn with_above(id: &AttemptId) -> Vec<AttemptId> {
    let mut ids = vec![id.attempt()];
    for number in id.agents() {
        ids.extend(ids.last().map(|above| above.agent(number)));
    }
    ids
}

/// The spans of agents that other agents started, from their first call to the end of their last, those
/// below them included.
fn agents<'c>(run: &Span, calls: impl Iterator<Item = &'c CallRow>) -> Vec<Span> {
    let mut times: BTreeMap<AttemptId, (Timestamp, Timestamp)> = BTreeMap::new();
    for call in calls {
        let end = call.ended_at.unwrap_or(call.begun_at);
        for id in with_above(&call.attempt).into_iter().skip(1) {
            let (first, last) = times.entry(id).or_insert((call.begun_at, end));
            *first = call.begun_at.min(*first);
            *last = end.max(*last);
        }
    }
    let span = |(id, (start, end)): (AttemptId, (Timestamp, Timestamp))| {
        let above = with_above(&id);
        let parent = above.iter().rev().nth(1).map(span_of_attempt);
        let numbers: Vec<_> = id.agents().iter().map(u32::to_string).collect();
        let start = start.min(run.end);
        Span {
            context: TraceContext { span: span_of_attempt(&id), ..run.context },
            parent,
            remote: false,
            kind: Kind::Attempt,
            name: format!("agent {}", numbers.join(".")),
            start,
            end: end.max(start),
            attributes: vec![(own::AGENT, text(id.as_str()))],
            events: Vec::new(),
            error: None,
        }
    };
    times.into_iter().map(span).collect()
}

fn of_call(run: &Span, call: &CallRow) -> Span {
    let input = [call.spend.cache_read_tokens, call.spend.cache_write_tokens]
        .into_iter()
        .fold(call.spend.input_tokens, u64::saturating_add);
    let mut attributes = vec![
        (gen_ai::OPERATION, text(gen_ai::CHAT)),
        (gen_ai::PROVIDER, text(gen_ai::ANTHROPIC)),
        (gen_ai::MODEL, text(&call.model)),
        (own::COST, number(call.spend.cost / NANO)),
    ];
    if call.ended_at.is_some() {
        attributes.extend([
            (gen_ai::INPUT, number(input)),
            (gen_ai::OUTPUT, number(call.spend.output_tokens)),
            (gen_ai::CACHE_READ, number(call.spend.cache_read_tokens)),
            (gen_ai::CACHE_WRITE, number(call.spend.cache_write_tokens)),
        ]);
    }
    let error = (!call.has_cost).then_some("broke");
    attributes.extend(error.map(|error| (names::ERROR_TYPE, text(error))));
    let start = call.begun_at.min(run.end);
    Span {
        context: TraceContext { span: span_of_call(&call.id), ..run.context },
        parent: Some(span_of_attempt(&call.attempt)),
        remote: false,
        kind: Kind::Call,
        name: format!("{} {}", gen_ai::CHAT, cut(&call.model)),
        start,
        end: call.ended_at.unwrap_or(start).max(start),
        attributes,
        events: Vec::new(),
        error,
    }
}

fn number(number: u64) -> Value {
    Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
}

fn of_run(status: RunStatus) -> (&'static str, Option<&'static str>) {
    match status {
        RunStatus::Success => (result::SUCCESS, None),
        RunStatus::Cancelled => (result::CANCELLATION, None),
        RunStatus::TimedOut => (result::TIMEOUT, Some("timeout")),
        RunStatus::Failed => (result::FAILURE, Some("step_failed")),
        // No end; our journals have one.
        RunStatus::Queued | RunStatus::Running | RunStatus::Waiting => {
            (result::ERROR, Some("_OTHER"))
        }
    }
}

fn of_attempt(outcome: &Outcome) -> (&'static str, Option<&'static str>) {
    match outcome {
        Outcome::Success => (result::SUCCESS, None),
        Outcome::Cancelled => (result::CANCELLATION, None),
        Outcome::TimedOut => (result::TIMEOUT, Some("timeout")),
        Outcome::Exit { signal: None, .. } => (result::FAILURE, Some("exit")),
        Outcome::Exit { signal: Some(_), .. } => (result::FAILURE, Some("signal")),
        Outcome::Refused { .. } => (result::FAILURE, Some("refused")),
        Outcome::Failed { .. } => (result::FAILURE, Some("failed")),
        Outcome::Rejected { .. } => (result::FAILURE, Some("rejected")),
        Outcome::Infra { .. } => (result::ERROR, Some("infra")),
    }
}

/// Source of the change: names and ids, no titles and no texts.
fn vcs(row: &RunRow, event: &serde_json::Value) -> Vec<(&'static str, Value)> {
    let event: Option<Event> = serde_json::from_value(event.clone()).ok();
    let mut known = Vec::new();
    let mut put = |name, value: Option<&str>| {
        known.extend(value.filter(|value| !value.is_empty()).map(|value| (name, text(value))));
    };
    put(names::VCS_REPOSITORY_NAME, row.repo.as_deref());
    put(names::VCS_REF_HEAD_REVISION, row.sha.as_deref());
    let Some(event) = event else { return known };
    let kind = serde_json::to_value(event.kind).ok();
    put(own::EVENT, kind.as_ref().and_then(serde_json::Value::as_str));
    match (&event.pull_request, &event.tag, &row.branch) {
        (Some(pull), _, _) => {
            put(names::VCS_CHANGE_ID, Some(&pull.number.to_string()));
            put(names::VCS_REF_HEAD_NAME, Some(&pull.head.git_ref));
            put(names::VCS_REF_HEAD_TYPE, Some("branch"));
            put(names::VCS_REF_BASE_NAME, Some(&pull.base.git_ref));
            put(names::VCS_REF_BASE_TYPE, Some("branch"));
        }
        (None, Some(tag), _) => {
            put(names::VCS_REF_HEAD_NAME, Some(tag));
            put(names::VCS_REF_HEAD_TYPE, Some("tag"));
        }
        (None, None, Some(branch)) => {
            put(names::VCS_REF_HEAD_NAME, Some(branch));
            put(names::VCS_REF_HEAD_TYPE, Some("branch"));
        }
        (None, None, None) => {}
    }
    known
}

fn text(text: &str) -> Value {
    Value::Text(cut(text))
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests;
