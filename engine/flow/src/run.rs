//! A run: its journal folded into a state, and the facts that follow from the state.
//!
//! Three kinds of function: *inputs* (`run/{start,condition,attempt,waiting,cancel,reopen}.rs`)
//! turn one message into its first fact or refuse it; *decisions* (`run/next.rs`, `run/outcome.rs`)
//! read the state and name the next fact; *evolution* (`run/evolve.rs` and its submodules) is the
//! only code that changes the state, live and when a journal is folded. So an interrupted run
//! continues from its journal exactly as an uninterrupted one.

use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use plue_plan::{DurationText, Plan, PlanHash, RunId, Step, StepId, plan::DEFAULT_TIMEOUT};
use serde_json::Value as Json;

use crate::{
    effect::Effect,
    error::{IllegalFact, Rejected},
    fact::{Carried, Fact},
    input::Input,
    status::RunStatus,
};

use shape::{Phase, Shape};
use state::{Halt, Held, StepState};

mod attempt;
mod cancel;
mod condition;
mod evolve;
mod next;
mod reopen;
mod shape;
mod show;
mod start;
mod state;
mod verdict;
mod waiting;

pub use waiting::Waiting;

/// One execution of one plan. Equal runs have equal journals' effects: everything here is derived.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    id: RunId,
    plan: Arc<Plan>,
    shape: Arc<Shape>,
    /// `None` if the plan's text is no duration; validation refuses such plans.
    timeout: Option<SignedDuration>,
    hash: Option<PlanHash>,
    status: RunStatus,
    reason: Option<String>,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    /// From when the run's timeout counts: the start, the last reopening or the last timeout.
    timed_from: Option<Timestamp>,
    timeouts: u32,
    /// Since when the run's timeout stands still: see `waiting.rs`.
    still_since: Option<Timestamp>,
    /// The plan's `outputs`, once they were computed.
    outputs: Option<Result<Json, String>>,
    cancels: u32,
    halt: Option<Halt>,
    /// The failed step because of which nothing new starts.
    stopped_by: Option<usize>,
    /// Ended steps that fail the run.
    bad: BTreeSet<usize>,
    phase: Phase,
    /// Steps that have not ended, per phase.
    open: [usize; 4],
    held: Held,
}

/// Consequences of an input. Facts are stored, then effects are performed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Transition {
    /// The journal entries, in order.
    pub facts: Vec<Fact>,
    /// Effects to perform after the facts are stored.
    pub effects: Vec<Effect>,
    /// Steps whose view changed, in the order of the plan.
    pub touched: Vec<StepId>,
}

/// Effects and changed steps collected during evolution.
#[derive(Debug, Default)]
pub(crate) struct Sink {
    effects: Vec<Effect>,
    touched: Vec<usize>,
}

// === impl Run ===

impl Run {
    /// A run of the plan before any fact. The plan must be valid; in particular without cycles.
    #[must_use]
    pub fn new(id: RunId, plan: Arc<Plan>) -> Self {
        let shape = Shape::new(&plan);
        let steps = (0..shape.len()).map(|at| StepState::new(shape.dependencies(at).len()));
        let held = Held { steps: steps.collect(), ..Held::default() };
        let mut open = [0; 4];
        for at in 0..shape.len() {
            if let Some(slot) = shape.phase(at).slot() {
                open[slot] += 1;
            }
        }
        Self {
            id,
            timeout: parse(&timeout_text(&plan)),
            plan,
            shape: Arc::new(shape),
            hash: None,
            status: RunStatus::Queued,
            reason: None,
            started_at: None,
            ended_at: None,
            timed_from: None,
            timeouts: 0,
            still_since: None,
            outputs: None,
            cancels: 0,
            halt: None,
            stopped_by: None,
            bad: BTreeSet::new(),
            phase: Phase::Idle,
            open,
            held,
        }
    }

    /// The first fact of the journal. `only`: the steps that run (`--step`; see
    /// [`Run::descendants`] for `--from`); empty: all. `carried`: outputs that others have already.
    #[must_use]
    pub fn create(&self, plan: PlanHash, only: Vec<StepId>, carried: Vec<Carried>) -> Fact {
        Fact::RunCreated { plan, only, carried }
    }

    /// Folds a journal.
    ///
    /// # Errors
    /// A fact cannot follow those before it: the journal is damaged or of another plan.
    pub fn fold(
        id: RunId,
        plan: Arc<Plan>,
        journal: impl IntoIterator<Item = (Timestamp, Fact)>,
    ) -> Result<Self, IllegalFact> {
        let mut run = Self::new(id, plan);
        for (at, fact) in journal {
            run.evolve(at, &fact)?;
        }
        Ok(run)
    }

    /// Facts that would follow from the input; this run does not change.
    ///
    /// # Errors
    /// As [`Run::apply`].
    pub fn decide(&self, now: Timestamp, input: &Input) -> Result<Vec<Fact>, Rejected> {
        let mut copy = self.clone();
        Ok(copy.apply(now, input.clone())?.facts)
    }

    /// Takes an input: decides all facts that follow from it and folds them. The same journal, time
    /// and input give the same facts. Costs as much as the steps that change.
    ///
    /// # Errors
    /// The input does not fit the state, which is unchanged then (but see [`Rejected::Internal`]).
    pub fn apply(&mut self, now: Timestamp, input: Input) -> Result<Transition, Rejected> {
        let first = self.admit(input)?;
        let mut sink = Sink::default();
        let mut facts = Vec::new();
        let mut following = first;
        while let Some(fact) = following.take().or_else(|| self.next_fact(now)) {
            self.fold_one(now, &fact, &mut sink)?;
            facts.push(fact);
        }
        Ok(self.transition(facts, sink))
    }

    /// Folds one fact into the state.
    ///
    /// # Errors
    /// The fact cannot follow the facts before it.
    pub fn evolve(&mut self, at: Timestamp, fact: &Fact) -> Result<(), IllegalFact> {
        self.fold_one(at, fact, &mut Sink::default())
    }

    /// The fact that the input itself is; `None` for a tick, which only lets time pass.
    fn admit(&self, input: Input) -> Result<Option<Fact>, Rejected> {
        if self.hash.is_none() {
            return Err(Rejected::NotCreated);
        }
        match input {
            Input::Start => self.admit_start().map(Some),
            Input::Tick => Ok(None),
            Input::Condition { step, visit, value, reads } => {
                self.admit_condition(step, visit, value, reads).map(Some)
            }
            Input::Held { attempt, reason } => self.admit_held(attempt, reason).map(Some),
            Input::Placed { attempt } => self.admit_placed(attempt).map(Some),
            Input::Assigned { attempt, runner } => self.admit_assigned(attempt, runner).map(Some),
            Input::Started { attempt, runner, began, name } => {
                self.admit_started(attempt, (runner, began), name).map(Some)
            }
            Input::Ended { attempt, outcome, output } => {
                self.admit_ended(attempt, outcome, output).map(Some)
            }
            Input::Waits { attempt, what, until, name } => {
                self.admit_waits(attempt, (what, until), name).map(Some)
            }
            Input::Decide { attempt, decision } => self.admit_decision(attempt, decision).map(Some),
            Input::AsksCalls { attempt, calls, is_busy } => {
                self.admit_asked_calls(attempt, calls, is_busy).map(Some)
            }
            Input::Answer { attempt, event, outcome, output } => {
                self.admit_answer(attempt, event, (outcome, output)).map(Some)
            }
            Input::Child { attempt, child } => self.admit_child(attempt, child).map(Some),
            Input::Outputs { value } => self.admit_outputs(value).map(Some),
            Input::Lost { attempt, reason } => self.admit_lost(attempt, reason).map(Some),
            Input::Cancel { by, kill } => self.admit_cancel(by, kill).map(Some),
            Input::Reopen { by, from } => self.admit_reopen(by, &from).map(Some),
        }
    }

    /// Effects that a later fact of the same transition made pointless are left out.
    fn transition(&self, facts: Vec<Fact>, sink: Sink) -> Transition {
        let mut effects = sink.effects;
        effects.retain(|effect| self.is_wanted(effect));
        let mut touched = sink.touched;
        touched.sort_unstable();
        touched.dedup();
        Transition {
            facts,
            effects,
            touched: touched.into_iter().map(|at| self.step_id(at)).collect(),
        }
    }

    fn definition(&self, at: usize) -> &Step {
        self.shape.step(&self.plan, at)
    }

    fn step_id(&self, at: usize) -> StepId {
        self.definition(at).id.clone()
    }

    /// Fails unless the run has started and not ended.
    fn live(&self) -> Result<(), Rejected> {
        let status = self.status;
        match status {
            RunStatus::Queued => Err(Rejected::NotStarted),
            RunStatus::Running | RunStatus::Waiting => Ok(()),
            RunStatus::Success | RunStatus::Failed | RunStatus::Cancelled | RunStatus::TimedOut => {
                Err(Rejected::Ended { status })
            }
        }
    }
}

fn timeout_text(plan: &Plan) -> DurationText {
    let given = plan.timeout.clone();
    given.unwrap_or_else(|| DurationText::new(DEFAULT_TIMEOUT))
}

fn parse(text: &DurationText) -> Option<SignedDuration> {
    SignedDuration::try_from(text.parse().ok()?).ok()
}
