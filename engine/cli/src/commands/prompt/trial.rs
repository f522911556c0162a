//! The agent of one case: it asks Claude or a recording, and its tools give the results of the case.
//!
//! Must not run a tool, or spend more than the command may.

use std::{collections::BTreeMap, time::Duration};

use jiff::tz::TimeZone;
use plue_executor::claude::{Claude, trial};
use plue_llm::{
    Agent, PicoUsd, Recording, Request,
    agent::{Effect, End, Fact, Input, Task, Totals},
    error::Error,
};
use plue_plan::Diagnostic;
use plue_runtime::{Clock, mask::Secrets};

use crate::{
    app::App,
    claude::claude,
    exit::Exit,
    failure::{Failure, codes},
};

/// Pause before an answer that broke off is asked for again.
const BREAK_PAUSE: Duration = Duration::from_secs(1);
/// A transcript of a case has one attempt: its visit and number.
const ATTEMPT: (u32, u32) = (1, 1);

/// Asks for the answers of cases.
pub(super) struct Asker {
    pub(super) claude: Claude,
    pub(super) clock: Clock,
    masks: Secrets,
    is_live: bool,
    budget: PicoUsd,
    spent: PicoUsd,
    /// `--budget` did not pay for a call.
    pub(super) is_broke: bool,
}

/// The end of one case's agent.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) facts: Vec<Fact>,
    pub(super) totals: Totals,
    pub(super) end: Ended,
}

/// The outcome of one case's agent.
#[derive(Debug)]
pub(super) enum Ended {
    /// The agent came to its own end.
    Agent(Box<End>),
    /// The recording has no answer to a request.
    NotRecorded(String),
    /// The model calls a tool for which the case has no result.
    NoResult(String),
}

/// An agent while it is performed.
struct Running<'a> {
    agent: Agent,
    facts: Vec<Fact>,
    recording: Recording,
    has_recording: bool,
    /// The rest of what the prompt itself lets it spend.
    own: Option<PicoUsd>,
    results: &'a BTreeMap<String, String>,
}

// === impl Asker ===

impl Asker {
    /// Asks Claude for answers if `is_live`, which takes a key.
    ///
    /// # Errors
    /// There is no key, or the configuration of Claude or the budget cannot be used.
    pub(super) fn new(app: &App, is_live: bool, dollars: f64) -> Result<Self, Failure> {
        let mut claude = claude(app)?;
        if !is_live {
            claude.client = None;
        } else if claude.client.is_none() {
            let code = plue_llm::codes::NO_KEY;
            let problem = Diagnostic::error(code, "asking Claude for answers needs a key");
            let hint = "set ANTHROPIC_API_KEY; recorded answers need none";
            return Err(Failure::new(Exit::Usage, problem).hint(hint));
        }
        let budget = PicoUsd::from_usd(dollars).ok_or_else(|| {
            let problem = Diagnostic::error(codes::USAGE, "--budget is no amount of dollars");
            Failure::new(Exit::Usage, problem)
        })?;
        let masks = Secrets::new(claude.masks.iter().map(Vec::as_slice));
        let (spent, clock) = (PicoUsd::ZERO, Clock::real());
        Ok(Self { claude, clock, masks, is_live, budget, spent, is_broke: false })
    }

    /// Dollars spent so far.
    pub(super) fn spent(&self) -> PicoUsd {
        self.spent
    }

    /// Performs the agent of a case to its end.
    pub(super) async fn ask(
        &mut self,
        (task, own): (Task, Option<PicoUsd>),
        recorded: Option<&[Fact]>,
        results: &BTreeMap<String, String>,
    ) -> Asked {
        let mut running = Running {
            agent: Agent::default(),
            facts: Vec::new(),
            recording: Recording::new(recorded.map(|facts| (ATTEMPT.into(), facts.to_vec()))),
            has_recording: recorded.is_some(),
            own,
            results,
        };
        let mut start = Some(Box::new(task));
        loop {
            let inputs = match running.agent.effect() {
                Effect::Begin => match start.take() {
                    Some(task) => vec![Input::Start(task)],
                    None => return running.ended(Ended::Agent(Box::new(no_start()))),
                },
                Effect::Ask(request) if self.is_live => {
                    vec![self.answer(*request, &mut running.own).await]
                }
                Effect::Ask(request) => match running.replayed(&request) {
                    Ok(input) => vec![input],
                    Err(why) => return running.ended(Ended::NotRecorded(why)),
                },
                Effect::Call(calls) => {
                    let mut inputs = Vec::new();
                    for call in calls {
                        let Some(content) = running.results.get(&call.name).cloned() else {
                            return running.ended(Ended::NoResult(call.name));
                        };
                        inputs.push(Input::Result { id: call.id, content, is_error: false });
                    }
                    inputs
                }
                Effect::Judge(value) => {
                    let schema = running.agent.task().and_then(|task| task.output.clone());
                    let judged = match &schema {
                        Some(schema) => trial::judge(schema, &value).await,
                        None => Ok(()),
                    };
                    vec![Input::Judged(judged)]
                }
                Effect::End(end) => return running.ended(Ended::Agent(end)),
            };
            for input in inputs {
                running.apply(input, &self.masks);
            }
        }
    }

    /// The answer of Claude to a request, paid for.
    async fn answer(&mut self, mut request: Request, own: &mut Option<PicoUsd>) -> Input {
        let day = self.clock.now().to_zoned(TimeZone::UTC).date();
        let prices = self.claude.prices.clone();
        let Some(price) = prices.find(&request.model, day) else {
            let code = plue_llm::codes::NO_PRICE;
            return Input::Unpaid(format!("{code}: `{}` has no known price", request.model));
        };
        let left = self.budget.minus(self.spent);
        let least = own.map_or(left, |own| own.min(left));
        let reserved = match trial::afford(&mut request, price, least) {
            Ok(reserved) => reserved,
            Err(amount) => {
                let is_own = own.is_some_and(|own| own < left);
                self.is_broke |= !is_own;
                let whose = if is_own { "`budget` of the prompt" } else { "`--budget`" };
                return Input::Unpaid(format!(
                    "{least} are left of {whose}, and the next call may cost {amount}; raise it"
                ));
            }
        };
        let (input, cost) = self.streamed(&request).await;
        let cost = match &input {
            Input::Answered(answer, _) => price.cost(&answer.usage).unwrap_or(reserved),
            _ if cost => reserved,
            _ => PicoUsd::ZERO,
        };
        self.spent = self.spent.plus(cost);
        *own = own.map(|own| own.minus(cost));
        match input {
            Input::Answered(answer, _) => Input::Answered(answer, Some(cost)),
            other => other,
        }
    }

    /// The answer, and whether a call without one may have cost its reservation.
    async fn streamed(&self, request: &Request) -> (Input, bool) {
        let Some(client) = self.claude.client.clone() else {
            return (Input::Unanswered("there is no key".to_owned()), false);
        };
        let mut stream = match client.stream(request).await {
            Ok(stream) => stream,
            Err(error) => return refused(&error),
        };
        loop {
            match stream.next().await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) if error.is_transient() => {
                    self.clock.sleep(BREAK_PAUSE).await;
                    let (usage, message) = (stream.usage(), error.to_string());
                    return (Input::Broke { usage, message }, true);
                }
                Err(error) => return refused(&error),
            }
        }
        let usage = stream.usage();
        match stream.finish() {
            Ok(answer) => (Input::Answered(Box::new(answer), None), true),
            Err(error) if error.is_transient() => {
                (Input::Broke { usage, message: error.to_string() }, true)
            }
            Err(error) => refused(&error),
        }
    }
}

fn refused(error: &Error) -> (Input, bool) {
    let is_free = matches!(error, Error::Api(_) | Error::Settings(_));
    let input = match error {
        Error::Api(api) if api.is_of_model() => Input::Unavailable(error.to_string()),
        _ => Input::Unanswered(error.to_string()),
    };
    (input, !is_free)
}

fn no_start() -> End {
    let reason = plue_llm::agent::EndReason::Api;
    End::refused(reason, "the agent did not take its task")
}

// === impl Running ===

impl Running<'_> {
    fn apply(&mut self, input: Input, masks: &Secrets) {
        let input = match input {
            Input::Start(mut task) => {
                task.prompt = masks.text(&task.prompt);
                task.system = task.system.map(|system| masks.text(&system));
                Input::Start(task)
            }
            other => other,
        };
        // An input that does not fit changes nothing: the next effect is the same one.
        let mut facts = self.agent.apply(input).unwrap_or_default();
        for fact in &mut facts {
            fact.texts(&mut |text| *text = masks.text(text));
        }
        self.facts.append(&mut facts);
    }

    /// The recorded answer to a request, or the difference to the request that was recorded.
    fn replayed(&mut self, request: &Request) -> Result<Input, String> {
        if let Some(input) = self.recording.take(request) {
            return Ok(input);
        }
        if !self.has_recording {
            return Err("no answer is recorded".to_owned());
        }
        let turn = self.agent.totals().turns + 1;
        let divergence = self.recording.divergence(&ATTEMPT.into(), turn, request);
        Err(format!("recorded for another request: {divergence}"))
    }

    fn ended(self, end: Ended) -> Asked {
        Asked { totals: self.agent.totals(), facts: self.facts, end }
    }
}
