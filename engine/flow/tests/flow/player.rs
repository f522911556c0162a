//! Plays a run: feeds inputs, keeps the journal, and after every input checks what must always
//! hold. Must not know a rule of docs/reference/semantics.md; `reference.rs` does.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use plue_flow::{
    AskedCall, AttemptStatus, Awaited, CallRequest, Decision, Effect, Fact, Input, Rejected, Run,
    RunStatus, StepStatus, StepView, Transition,
    fact::{Outcome, Reason},
    input::Reopen,
    machine::{
        attempt::{self, AttemptEvent},
        run::{RunEvent, ending},
        step::{self, StepEvent},
    },
};
use plue_plan::{AttemptId, Plan, PlanHash, RunId, RunnerId, StepId};
use serde_json::{Value as Json, json};

/// Rows of the three transition tables that the player has covered.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct TransitionCoverage {
    pub(crate) run: BTreeSet<(RunStatus, RunEvent, RunStatus)>,
    pub(crate) step: BTreeSet<(StepStatus, StepEvent, StepStatus)>,
    pub(crate) attempt: BTreeSet<(AttemptStatus, AttemptEvent, AttemptStatus)>,
}

pub(crate) struct Player {
    pub(crate) run: Run,
    pub(crate) now: Timestamp,
    pub(crate) journal: Vec<(Timestamp, Fact)>,
    /// Effects without an answer so far.
    pub(crate) open: Vec<Effect>,
    pub(crate) seen: TransitionCoverage,
    /// Check that every prefix of the journal leads to the same continuation; quadratic.
    pub(crate) paranoid: bool,
}

pub(crate) fn id(text: &str) -> StepId {
    StepId::new(text)
}

pub(crate) fn hash() -> PlanHash {
    serde_json::from_value(json!(format!("sha256:{}", "0".repeat(64)))).unwrap()
}

/// A plan from its steps (`kind` and `run` are added) and further fields.
pub(crate) fn plan(steps: Json, more: Json) -> Arc<Plan> {
    let mut plan = json!({"version": 1, "name": "t", "steps": dress(steps)});
    for (key, mut value) in more.as_object().unwrap().clone() {
        if key == "hooks" {
            for (_, list) in value.as_object_mut().unwrap() {
                *list = dress(list.take());
            }
        }
        plan[key] = value;
    }
    Arc::new(serde_json::from_value(plan).unwrap())
}

fn dress(mut steps: Json) -> Json {
    for step in steps.as_array_mut().unwrap() {
        if step.get("kind").is_some() {
            continue;
        }
        step["kind"] = json!("bash");
        step["run"] = json!("true");
    }
    steps
}

impl Player {
    /// A run of these steps that was started at 2026-01-01.
    pub(crate) fn start(steps: Json, more: Json) -> Self {
        let mut player = Self::create(plan(steps, more), &[]);
        player.feed(Input::Start);
        player
    }

    /// A run that was created and not started.
    pub(crate) fn create(plan: Arc<Plan>, only: &[&str]) -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut run = Run::new(RunId::new("r:1"), plan);
        let first = run.create(hash(), only.iter().map(|step| id(step)).collect(), Vec::new());
        run.evolve(now, &first).unwrap();
        Self {
            run,
            now,
            journal: vec![(now, first)],
            open: Vec::new(),
            seen: TransitionCoverage::default(),
            paranoid: true,
        }
    }

    /// Feeds an input that must be taken.
    #[track_caller]
    pub(crate) fn feed(&mut self, input: Input) -> Transition {
        self.try_feed(input.clone()).unwrap_or_else(|refusal| panic!("{input:?}: {refusal}"))
    }

    /// Feeds an input; a refused one must leave no trace.
    pub(crate) fn try_feed(&mut self, input: Input) -> Result<Transition, Rejected> {
        let before = self.run.clone();
        let decided = before.decide(self.now, &input);
        let result = self.run.apply(self.now, input);
        match &result {
            Err(refusal) => {
                assert!(!matches!(refusal, Rejected::Internal(_)), "{refusal}");
                assert_eq!(self.run, before, "a refusal changed the run");
                assert_eq!(decided.as_ref(), Err(refusal));
            }
            Ok(transition) => {
                assert_eq!(decided.as_ref(), Ok(&transition.facts));
                self.follow(&before, transition);
                let now = self.now;
                let dated = transition.facts.iter().map(|fact| (now, fact.clone()));
                self.journal.extend(dated);
                self.note(&transition.effects);
                self.check();
            }
        }
        result
    }

    pub(crate) fn wait(&mut self, duration: &str) -> Transition {
        let duration: SignedDuration = duration.parse().unwrap();
        self.now = self.now.checked_add(duration).unwrap();
        self.feed(Input::Tick)
    }

    /// The current attempt of the step.
    #[track_caller]
    pub(crate) fn attempt(&self, step: &str) -> AttemptId {
        let view = self.step(step);
        let text = format!("r:1:{step}:{}:{}", view.visit, view.attempts);
        let attempt = AttemptId::new(text);
        assert!(self.run.attempt(&attempt).is_some(), "{step} has no attempt");
        attempt
    }

    #[track_caller]
    pub(crate) fn assign(&mut self, step: &str) -> Transition {
        let (attempt, runner) = (self.attempt(step), RunnerId::new("r"));
        self.feed(Input::Assigned { attempt, runner })
    }

    #[track_caller]
    pub(crate) fn begin(&mut self, step: &str) -> Transition {
        let attempt = self.attempt(step);
        self.feed(Input::Started { attempt, runner: None, began: None, name: None })
    }

    #[track_caller]
    pub(crate) fn end(&mut self, step: &str, outcome: Outcome) -> Transition {
        let attempt = self.attempt(step);
        self.feed(Input::Ended { attempt, outcome, output: Json::Null })
    }

    #[track_caller]
    pub(crate) fn lose(&mut self, step: &str) -> Transition {
        let attempt = self.attempt(step);
        let reason = "gone".to_owned();
        self.feed(Input::Lost { attempt, reason })
    }

    /// The step's attempt waits.
    #[track_caller]
    pub(crate) fn waits(&mut self, step: &str, what: Awaited, until: Option<&str>) -> Transition {
        let attempt = self.attempt(step);
        let until = until.map(|span| self.now + span.parse::<SignedDuration>().unwrap());
        self.feed(Input::Waits { attempt, what, until, name: None })
    }

    #[track_caller]
    pub(crate) fn decide(&mut self, step: &str, by: &str, approve: bool) -> Transition {
        let attempt = self.attempt(step);
        self.feed(Input::Decide { attempt, decision: decision(by, approve) })
    }

    /// Starts each step's attempt and ends it well.
    #[track_caller]
    pub(crate) fn pass(&mut self, steps: &[&str]) {
        for step in steps {
            self.begin(step);
            self.end(step, Outcome::Success);
        }
    }

    /// Starts the step's attempt and ends it with exit status 1.
    #[track_caller]
    pub(crate) fn fail(&mut self, step: &str) -> Transition {
        self.begin(step);
        self.end(step, exit(1))
    }

    #[track_caller]
    pub(crate) fn answer(&mut self, step: &str, value: Result<bool, &str>) -> Transition {
        let visit = self.step(step).visit;
        self.feed(Input::Condition {
            step: id(step),
            visit,
            value: value.map_err(str::to_owned),
            reads: Vec::new(),
        })
    }

    pub(crate) fn cancel(&mut self) -> Transition {
        self.feed(cancel(false))
    }

    pub(crate) fn reopen(&mut self, from: Reopen) -> Transition {
        let by = "ann".to_owned();
        self.feed(Input::Reopen { by, from })
    }

    #[track_caller]
    pub(crate) fn step(&self, step: &str) -> StepView {
        let view = self.run.step_view(&id(step));
        view.unwrap_or_else(|| panic!("no step {step}"))
    }

    #[track_caller]
    pub(crate) fn status(&self, step: &str) -> StepStatus {
        self.step(step).status
    }

    #[track_caller]
    pub(crate) fn reason(&self, step: &str) -> Option<Reason> {
        self.step(step).reason
    }

    /// `a=success b=skipped …`, in the order of the plan.
    pub(crate) fn statuses(&self) -> String {
        let views = self.run.step_views();
        let texts: Vec<String> = views.map(|v| format!("{}={}", v.step, v.status)).collect();
        texts.join(" ")
    }

    /// Steps with an open attempt.
    pub(crate) fn working(&self) -> Vec<String> {
        let views = self.run.step_views();
        let open = |v: &StepView| matches!(v.status, StepStatus::Queued | StepStatus::Running);
        views.filter(open).map(|v| v.step.to_string()).collect()
    }

    /// Folds the facts one by one, to see which rows of the tables they use, that nothing changes
    /// without a fact about it, and that a run cut off after any of them goes on the same way.
    fn follow(&mut self, before: &Run, transition: &Transition) {
        let mut run = before.clone();
        let mut touched = BTreeSet::new();
        for (at, fact) in transition.facts.iter().enumerate() {
            let old = run.clone();
            run.evolve(self.now, fact).unwrap();
            self.record(&old, &run, fact);
            for (old, new) in old.step_views().zip(run.step_views()) {
                if old != new {
                    touched.insert(new.step);
                }
            }
            if self.paranoid {
                let mut cut = run.clone();
                let rest = cut.apply(self.now, Input::Tick).unwrap();
                assert_eq!(rest.facts, transition.facts[at + 1..], "cut after {fact:?}");
            }
        }
        assert_eq!(run, self.run, "the facts are not the whole change");
        let reported: BTreeSet<StepId> = transition.touched.iter().cloned().collect();
        assert!(reported.is_superset(&touched), "{touched:?} changed, {reported:?} told");
    }

    fn record(&mut self, old: &Run, new: &Run, fact: &Fact) {
        let mut named = BTreeSet::new();
        match fact {
            Fact::AttemptQueued { step, .. }
            | Fact::AttemptStarted { step, .. }
            | Fact::AttemptUnschedulable { step, .. }
            | Fact::AttemptSchedulable { step, .. }
            | Fact::AttemptAssigned { step, .. }
            | Fact::AttemptWaiting { step, .. }
            | Fact::CallsAsked { step, .. }
            | Fact::AttemptEnded { step, .. }
            | Fact::AttemptRequeued { step, .. }
            | Fact::RetryScheduled { step, .. }
            | Fact::StepEnded { step, .. } => drop(named.insert(step.clone())),
            Fact::LoopedBack { steps, .. } | Fact::RunReopened { steps, .. } => {
                named.extend(steps.iter().cloned());
            }
            Fact::RunCreated { .. }
            | Fact::RunStarted
            | Fact::ConditionEvaluated { .. }
            | Fact::DecisionMade { .. }
            | Fact::ChildStarted { .. }
            | Fact::OutputsEvaluated { .. }
            | Fact::CancelRequested { .. }
            | Fact::RunTimedOut
            | Fact::RunEnded { .. } => {}
        }
        for (old, new) in old.step_views().zip(new.step_views()) {
            let event = step::event(fact).filter(|_| named.contains(&new.step));
            match event {
                Some(event) => drop(self.seen.step.insert((old.status, event, new.status))),
                None => assert_eq!(old.status, new.status, "{} changed by {fact:?}", new.step),
            }
        }
        self.record_attempt(old, new, fact);
        self.record_run(old.status(), new.status(), fact);
    }

    fn record_attempt(&mut self, old: &Run, new: &Run, fact: &Fact) {
        let (Fact::AttemptStarted { attempt, .. }
        | Fact::AttemptAssigned { attempt, .. }
        | Fact::AttemptWaiting { attempt, .. }
        | Fact::AttemptEnded { attempt, .. }
        | Fact::AttemptRequeued { attempt, .. }) = fact
        else {
            return;
        };
        let status = |run: &Run| run.attempt(attempt).unwrap().status;
        let event = attempt::event(status(old), fact).unwrap();
        self.seen.attempt.insert((status(old), event, status(new)));
    }

    fn record_run(&mut self, old: RunStatus, new: RunStatus, fact: &Fact) {
        let event = if let Fact::RunEnded { status, .. } = fact {
            ending(*status).unwrap()
        } else if *fact == Fact::RunStarted {
            RunEvent::Start
        } else if matches!(fact, Fact::RunReopened { .. }) {
            RunEvent::Reopen
        } else if old == new {
            return;
        } else if new == RunStatus::Waiting {
            RunEvent::Idle
        } else {
            RunEvent::Wake
        };
        self.seen.run.insert((old, event, new));
    }

    fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            if !self.open.contains(effect) {
                self.open.push(effect.clone());
            }
        }
        let pending = self.run.pending_effects();
        for effect in &pending {
            assert!(self.open.contains(effect), "never asked for: {effect:?}");
        }
        let withdrawn = |effect: &Effect| match effect {
            Effect::Stop { attempt, .. } => {
                let view = self.run.attempt(attempt);
                view.is_none_or(|view| view.status.is_terminal())
            }
            Effect::EvaluateCondition { .. }
            | Effect::EvaluateOutputs
            | Effect::Perform { .. }
            | Effect::Finish => false,
        };
        for effect in effects {
            let open = pending.contains(effect) || withdrawn(effect);
            assert!(open, "asked for and not open: {effect:?}");
        }
        self.open = pending;
    }

    fn check(&self) {
        let (id, plan) = (self.run.id().clone(), self.run.plan().clone());
        let folded = Run::fold(id, plan.clone(), self.journal.iter().cloned()).unwrap();
        assert_eq!(folded, self.run, "the journal folds to another state");
        let most = plan.max_parallel.map_or(usize::MAX, |most| most as usize);
        let held = self.run.unschedulable().count();
        assert!(self.working().len() - held <= most, "more than max_parallel");
        if self.run.is_finished() {
            assert!(self.run.step_views().all(|view| view.status.is_terminal()));
            assert_eq!(self.run.pending_effects(), [Effect::Finish]);
        } else if self.run.status() != RunStatus::Queued {
            let asks = |effect: &Effect| {
                let Effect::Perform { attempt, .. } = effect else { return false };
                let (calls, is_busy) = self.run.asked_calls(attempt);
                !calls.is_empty() && !is_busy
            };
            let waits = self.run.pending_effects().iter().all(asks);
            let retry = self.run.step_views().any(|v| v.status == StepStatus::Waiting);
            assert!(!waits || retry, "nothing will ever happen: {}", self.statuses());
            // An agent that asks people keeps its slot, so other steps may be ready.
            let is_waiting = self.run.status() == RunStatus::Waiting;
            let asks = !self.run.pending_effects().is_empty();
            assert!(is_waiting == waits || (asks && waits), "{}", self.statuses());
        }
    }
}

pub(crate) fn exit(code: i32) -> Outcome {
    Outcome::Exit { code, signal: None }
}

/// An answer without fields or remark.
pub(crate) fn decision(by: &str, approve: bool) -> Decision {
    Decision { by: by.to_owned(), approve, fields: serde_json::Map::new(), comment: None }
}

/// A decision by anybody.
pub(crate) fn asked(quorum: u32) -> Awaited {
    Awaited::Decision { message: None, approvers: Vec::new(), quorum }
}

pub(crate) fn cancel(kill: bool) -> Input {
    let by = "ann".to_owned();
    Input::Cancel { by, kill }
}

/// Call of an agent that people are asked about.
pub(crate) fn call(call: &str) -> AskedCall {
    let (tool, arguments) = ("bash".to_owned(), "{\"command\":\"ls\"}".to_owned());
    let request = CallRequest { call: call.to_owned(), tool, arguments };
    AskedCall { request, until: None }
}
