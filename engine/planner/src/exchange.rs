//! One evaluation: rounds of "needs" and answers until both zygotes have everything they request.
//! The event is sent only to files that request it: plans of the others hold for every event.
//!
//! Must not trust a zygote: its requests are counted and bounded here.

use std::{sync::Arc, time::Duration};

use plue_plan::{Code, Diagnostic, Span};
use plue_runtime::{
    Tasks,
    metrics::names::{EVALUATION_CPU, EVALUATION_DURATION, EVALUATION_MEMORY},
};
use plue_wire::eval::{
    EvalOutcome, EvalReply, EvalRequest, Facts, FileFact, Killed, MAX_CPU_S, MAX_FACT_BYTES,
    MAX_FACTS, MAX_MEMORY_BYTES, MAX_ROUNDS, MAX_WALL_MS, Need, RawPlan, Usage,
};

use crate::{
    codes,
    error::{Error, PlanError},
    pool::{Checkout, Deadline, Trust},
    process::Failure,
    read_set::Question,
    sources::Sources,
    view::{CommitView, ViewError},
};

/// Text in the sources of a file that reads the event.
const EVENT: &str = ".event";
/// Rounds of asking for facts in a survey.
const MAX_SURVEY_ROUNDS: usize = 8;

/// Replies of the zygotes when nothing was missing any more.
#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) outcomes: [EvalOutcome; 2],
    /// The third opinion, if there is one: on untrusted files, when the two agree on plans.
    pub(crate) third: Option<EvalOutcome>,
    /// All problems of a file that fails, where they could be found.
    pub(crate) survey: Option<Survey>,
    pub(crate) facts: Facts,
    /// True if the event was sent.
    pub(crate) knows_event: bool,
    pub(crate) printed: String,
    pub(crate) usage: Usage,
    pub(crate) rounds: u32,
}

/// The findings of a survey of a failing file; untrusted.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) diagnostics_json: String,
    pub(crate) drafts: Vec<RawPlan>,
}

/// Everything an evaluation needs in addition to the evaluators.
pub(crate) struct Exchange<'e> {
    pub(crate) sources: &'e Sources,
    pub(crate) question: &'e Question,
    pub(crate) view: &'e Arc<dyn CommitView>,
    pub(crate) tasks: &'e Tasks,
}

// === impl Exchange ===

impl Exchange<'_> {
    /// Repeats the request until nothing is missing, or time or CPU time of all rounds together run
    /// out.
    pub(crate) async fn run(&self, checkout: &mut Checkout) -> Result<Settled, PlanError> {
        let mut request = EvalRequest {
            id: 0,
            entry: self.sources.entry.clone(),
            sources: self.sources.files.clone(),
            event_json: None,
            withholds_event: true,
            inputs_json: self.question.inputs_json.clone(),
            facts: Facts::default(),
            survey: false,
        };
        // Saves those files a round that are likely to ask.
        if self.sources.mention(EVENT) {
            self.add_event(&mut request);
        }
        let mut usage = Usage::default();
        checkout.ready().await?;
        let mut deadline = checkout.begin();
        for round in 1..=MAX_ROUNDS {
            request.id += 1;
            let [a, b] = self.ask(checkout, &request, deadline).await?;
            add(&mut usage, &a.usage);
            deadline.cpu_us = usage.cpu_us;
            let mut needs = needs([&a, &b]);
            let mut third = None;
            if needs.is_empty() && agree(&a, &b) {
                third = self.ask_third(checkout, &request, deadline).await?;
                needs = self::needs(third.as_ref());
            }
            if needs.is_empty() {
                let survey = match (&a.outcome, &b.outcome) {
                    (EvalOutcome::Failed { .. }, EvalOutcome::Failed { .. }) => {
                        self.survey(checkout, &request, deadline).await
                    }
                    (_, _) => None,
                };
                return Ok(Settled {
                    survey,
                    outcomes: [a.outcome, b.outcome],
                    third: third.map(|reply| reply.outcome),
                    facts: request.facts,
                    knows_event: !request.withholds_event,
                    printed: clean(&a.printed),
                    usage,
                    rounds: u32::try_from(round).unwrap_or(u32::MAX),
                });
            }
            if usage.cpu_us >= MAX_CPU_S * 1_000_000 {
                return Err(self.killed(&Killed::Cpu).into());
            }
            self.answer(&mut request, needs, deadline).await?;
        }
        let message = format!("the workflow asked about the commit {MAX_ROUNDS} times in a row");
        Err(self.refuse(codes::TOO_MANY_ROUNDS, message).hint_error(
            "each question that depends on the answer to another one is a round; ask for patterns instead of single files",
        ))
    }

    /// All problems of a file that fails. Nothing if the rest of its time does not suffice, or if it ends
    /// otherwise: then its first problems are shown.
    async fn survey(
        &self,
        checkout: &mut Checkout,
        request: &EvalRequest,
        mut deadline: Deadline,
    ) -> Option<Survey> {
        let mut request = EvalRequest { survey: true, ..request.clone() };
        for _round in 0..MAX_SURVEY_ROUNDS {
            request.id += 1;
            let [a, b] = self.ask(checkout, &request, deadline).await.ok()?;
            deadline.cpu_us = deadline.cpu_us.saturating_add(a.usage.cpu_us);
            if let EvalOutcome::Surveyed { diagnostics_json, drafts } = a.outcome {
                return Some(Survey { diagnostics_json, drafts });
            }
            let needs = needs([&a, &b]);
            if needs.is_empty() || deadline.cpu_us >= MAX_CPU_S * 1_000_000 {
                return None;
            }
            self.answer(&mut request, needs, deadline).await.ok()?;
        }
        None
    }

    /// One request to both. A crashed zygote is replaced and asked once more: only the second crash
    /// is the file's fault.
    async fn ask(
        &self,
        checkout: &mut Checkout,
        request: &EvalRequest,
        deadline: Deadline,
    ) -> Result<[EvalReply; 2], PlanError> {
        let mut died = None;
        for _attempt in 0..2 {
            let Some(left) = deadline.left() else {
                return Err(self.killed(&Killed::Wall).into());
            };
            let answers = checkout.ask(request, left).await?;
            for reply in answers.iter().flatten() {
                account(checkout.trust(), &reply.usage);
            }
            let failure = match answers {
                [Ok(a), Ok(b)] => {
                    self.not_killed(&a)?;
                    self.not_killed(&b)?;
                    return Ok([a, b]);
                }
                [Ok(reply), Err(failure)] | [Err(failure), Ok(reply)] => {
                    // A failure caused by the file explains the other one too.
                    self.not_killed(&reply)?;
                    failure
                }
                [Err(failure), Err(_)] => failure,
            };
            died = Some(self.only_died(failure)?);
        }
        Err(self.crashed_twice(&died.unwrap_or_default()))
    }

    /// The same question to the third zygote, if there is one.
    async fn ask_third(
        &self,
        checkout: &mut Checkout,
        request: &EvalRequest,
        deadline: Deadline,
    ) -> Result<Option<EvalReply>, PlanError> {
        let mut died = None;
        for _attempt in 0..2 {
            let Some(left) = deadline.left() else {
                return Err(self.killed(&Killed::Wall).into());
            };
            match checkout.ask_third(request, left).await? {
                None => return Ok(None),
                Some(Ok(reply)) => {
                    account(checkout.trust(), &reply.usage);
                    self.not_killed(&reply)?;
                    return Ok(Some(reply));
                }
                Some(Err(failure)) => died = Some(self.only_died(failure)?),
            }
        }
        Err(self.crashed_twice(&died.unwrap_or_default()))
    }

    /// Description of a zygote's crash; any other failure is the file's fault at once.
    fn only_died(&self, failure: Failure) -> Result<String, PlanError> {
        tracing::warn!(workflow.path = self.sources.entry, %failure, "an evaluator failed");
        match failure {
            Failure::Died(how) => Ok(how),
            Failure::Garbage(what) => Err(self.refuse(codes::BAD_REPLY, what).into()),
            Failure::Silent => Err(self.killed(&Killed::Wall).into()),
        }
    }

    fn crashed_twice(&self, how: &str) -> PlanError {
        let message = format!("the evaluator crashed on this file twice ({how})");
        self.refuse(codes::CRASHED, message).into()
    }

    fn not_killed(&self, reply: &EvalReply) -> Result<(), PlanError> {
        let EvalOutcome::Killed(why) = &reply.outcome else {
            return Ok(());
        };
        tracing::warn!(
            workflow.path = self.sources.entry,
            ?why,
            cpu_us = reply.usage.cpu_us,
            wall_us = reply.usage.wall_us,
            max_rss_kib = reply.usage.max_rss_kib,
            "an evaluation was ended"
        );
        Err(self.killed(why).into())
    }

    fn killed(&self, why: &Killed) -> Refusal {
        let mebibytes = MAX_MEMORY_BYTES / (1024 * 1024);
        let (code, message, hint) = match why {
            Killed::Cpu => (
                codes::TOO_MUCH_CPU,
                format!("the file took more than {MAX_CPU_S} s of CPU time"),
                "a workflow file only describes steps; do the work in a step",
            ),
            Killed::Memory => (
                codes::TOO_MUCH_MEMORY,
                format!("the file took more than {mebibytes} MiB of memory"),
                "a workflow file only describes steps; do the work in a step",
            ),
            Killed::Wall => (
                codes::TOO_LONG,
                format!("the file took longer than {} s", MAX_WALL_MS / 1_000),
                "a workflow file only describes steps; do the work in a step (on a very busy \
                 machine, try again)",
            ),
            Killed::Denied(what) => (
                codes::DENIED,
                format!("the file tried what the jail forbids ({})", clean(what)),
                "a workflow file may read the commit through `ctx` and nothing else",
            ),
            Killed::Crashed(how) => (
                codes::CRASHED,
                format!("the file made the interpreter crash ({})", clean(how)),
                "very deep recursion is the usual cause",
            ),
            Killed::BadReply(what) => (
                codes::BAD_REPLY,
                format!("the file's result was no result ({})", clean(what)),
                "the plans of one file may be 16 MiB together",
            ),
        };
        self.refuse(code, message).hint(hint)
    }

    fn add_event(&self, request: &mut EvalRequest) {
        request.event_json.clone_from(&self.question.event_json);
        request.withholds_event = false;
    }

    /// Puts what is needed into the request.
    async fn answer(
        &self,
        request: &mut EvalRequest,
        mut needs: Vec<Need>,
        deadline: Deadline,
    ) -> Result<(), PlanError> {
        if request.withholds_event && needs.contains(&Need::Event) {
            self.add_event(request);
            needs.retain(|need| *need != Need::Event);
        }
        if !needs.is_empty() {
            let facts = std::mem::take(&mut request.facts);
            request.facts = self.look_up_all(facts, needs, deadline).await?;
        }
        Ok(())
    }

    /// Looks the needs up at the commit, on a thread that may block.
    async fn look_up_all(
        &self,
        facts: Facts,
        needs: Vec<Need>,
        deadline: Deadline,
    ) -> Result<Facts, PlanError> {
        let view = Arc::clone(self.view);
        if needs.iter().any(is_too_complex) {
            let message = "it asked for a pattern that no workflow can ask for".to_owned();
            return Err(self.refuse(codes::BAD_REPLY, message).into());
        }
        if needs.iter().all(|need| is_known(&facts, need)) {
            let message = "it asked again for known facts".to_owned();
            return Err(self.refuse(codes::BAD_REPLY, message).into());
        }
        let found = self.tasks.spawn_blocking(move || {
            let mut facts = facts;
            for need in needs {
                // A large commit and many patterns: that takes time outside of any jail.
                if deadline.left().is_none() {
                    return Ok(None);
                }
                look_up(&*view, need, &mut facts)?;
                if count(&facts) > MAX_FACTS || size(&facts) > MAX_FACT_BYTES {
                    break;
                }
            }
            Ok::<_, ViewError>(Some(facts))
        });
        let Some(facts) = found.await.map_err(|_| Error::Interrupted)?? else {
            return Err(self.killed(&Killed::Wall).into());
        };
        if count(&facts) > MAX_FACTS {
            let message =
                format!("the workflow asked for more than {MAX_FACTS} files and patterns");
            return Err(self.refuse(codes::TOO_MANY_FACTS, message).into());
        }
        if size(&facts) > MAX_FACT_BYTES {
            let limit = MAX_FACT_BYTES / (1024 * 1024);
            let message = format!("what the workflow read is more than {limit} MiB");
            return Err(self.refuse(codes::FACTS_TOO_LARGE, message).into());
        }
        Ok(facts)
    }

    fn refuse(&self, code: Code, message: String) -> Refusal {
        let place = Span::at(self.sources.entry.clone(), 1, 1);
        Refusal(Diagnostic::error(code, message).at(place))
    }
}

/// A diagnostic on its way to become an error.
struct Refusal(Diagnostic);

// === impl Refusal ===

impl Refusal {
    fn hint(self, hint: &str) -> Self {
        Self(self.0.hint(hint))
    }

    fn hint_error(self, hint: &str) -> PlanError {
        self.hint(hint).into()
    }
}

impl From<Refusal> for PlanError {
    fn from(refusal: Refusal) -> Self {
        Self::invalid(refusal.0)
    }
}

/// True if both returned the same plans, which justifies a third opinion.
fn agree(a: &EvalReply, b: &EvalReply) -> bool {
    matches!(a.outcome, EvalOutcome::Plans(_)) && a.outcome == b.outcome
}

/// Adds the cost of one child to the metrics.
fn account(trust: Trust, usage: &Usage) {
    let label = [("trust", trust.word())];
    let seconds = |micros| Duration::from_micros(micros).as_secs_f64();
    EVALUATION_CPU.record(seconds(usage.cpu_us), &label);
    EVALUATION_DURATION.record(seconds(usage.wall_us), &label);
    // Exact to 8 PiB.
    EVALUATION_MEMORY.record(usage.max_rss_kib as f64 * 1024.0, &label);
}

/// Needs of any reply. Sets may be walked in different orders, so all of them count.
fn needs<'r>(replies: impl IntoIterator<Item = &'r EvalReply>) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    for reply in replies {
        if let EvalOutcome::Needs(more) = &reply.outcome {
            needs.extend(more.iter().take(MAX_FACTS + 1).cloned());
        }
    }
    needs.sort();
    needs.dedup();
    needs
}

fn is_known(facts: &Facts, need: &Need) -> bool {
    match need {
        Need::Read(path) => match facts.files.get(path) {
            Some(FileFact::Text(_) | FileFact::NotText | FileFact::Absent) => true,
            Some(FileFact::Present) | None => false,
        },
        Need::Exists(path) => facts.files.contains_key(path),
        Need::Glob(pattern) => facts.globs.contains_key(pattern),
        Need::ChangedFiles => facts.changed_files.is_some(),
        // One that was withheld is sent before this is checked.
        Need::Event => true,
    }
}

/// Limits that the evaluator enforces on files, so only a forged reply exceeds them: a pattern is
/// compiled and matched here, outside of the jail.
fn is_too_complex(need: &Need) -> bool {
    match need {
        Need::Glob(pattern) => !plue_wire::eval::is_pattern_allowed(pattern),
        Need::Read(_) | Need::Exists(_) | Need::ChangedFiles | Need::Event => false,
    }
}

fn look_up(view: &dyn CommitView, need: Need, facts: &mut Facts) -> Result<(), ViewError> {
    match need {
        Need::Read(path) => {
            let fact = view.read(&path)?;
            facts.files.insert(path, fact);
        }
        Need::Exists(path) if facts.files.contains_key(&path) => {}
        Need::Exists(path) => {
            let there = view.exists(&path)?;
            let fact = if there { FileFact::Present } else { FileFact::Absent };
            facts.files.insert(path, fact);
        }
        Need::Glob(pattern) => {
            let paths = view.glob(&pattern)?;
            facts.globs.insert(pattern, paths);
        }
        Need::ChangedFiles => facts.changed_files = Some(view.changed_files()?),
        Need::Event => {}
    }
    Ok(())
}

fn count(facts: &Facts) -> usize {
    facts.files.len() + facts.globs.len() + usize::from(facts.changed_files.is_some())
}

fn size(facts: &Facts) -> usize {
    let list = |paths: &[String]| paths.iter().map(|path| path.len() + 8).sum::<usize>();
    let texts = facts.files.iter().map(|(path, fact)| {
        path.len()
            + match fact {
                FileFact::Text(text) => text.len(),
                FileFact::NotText | FileFact::Present | FileFact::Absent => 0,
            }
    });
    let globs = facts.globs.iter().map(|(pattern, paths)| pattern.len() + list(paths));
    texts.chain(globs).sum::<usize>() + facts.changed_files.as_deref().map_or(0, list)
}

fn add(total: &mut Usage, one: &Usage) {
    total.cpu_us = total.cpu_us.saturating_add(one.cpu_us);
    total.wall_us = total.wall_us.saturating_add(one.wall_us);
    total.max_rss_kib = total.max_rss_kib.max(one.max_rss_kib);
}

/// Text from a child without characters that could act on a terminal.
pub(crate) fn clean(text: &str) -> String {
    let harmless = |c: char| {
        if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }
    };
    text.chars().map(harmless).collect()
}
