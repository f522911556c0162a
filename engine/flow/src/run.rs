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
use state::{Lifecycle, StepState, StopState, Timer, Worklists};

use attempt::{
    admit_assigned, admit_ended, admit_lost, admit_schedulable, admit_started, admit_unschedulable,
};
use cancel::admit_cancel;
use condition::admit_condition;
use evolve::fold_one;
use next::next_fact;
use reopen::admit_reopen;
use start::admit_start;
use waiting::{
    admit_answer, admit_asked_calls, admit_child, admit_decision, admit_outputs, admit_waits,
};

mod attempt;
mod cancel;
mod condition;
mod evolve;
mod next;
mod outcome;
mod reopen;
mod shape;
mod show;
mod start;
mod state;

mod waiting;

pub use show::Waiting;

/// One execution of one plan. Equal runs have equal journals' effects: everything here is derived.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    id: RunId,
    plan: Arc<Plan>,
    shape: Arc<Shape>,
    hash: Option<PlanHash>,
    lifecycle: Lifecycle,
    timer: Timer,
    stop: StopState,
    /// The plan's `outputs`, once they were computed.
    outputs: Option<Result<Json, String>>,
    /// Ended steps that fail the run.
    failing_steps: BTreeSet<usize>,
    phase: Phase,
    /// Steps that have not ended, per phase.
    open: [usize; 4],
    work: Worklists,
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

impl Run {
    /// A run of the plan before any fact. The plan must be valid; in particular without cycles.
    #[must_use]
    pub fn new(id: RunId, plan: Arc<Plan>) -> Self {
        let shape = Shape::new(&plan);
        let steps = (0..shape.len()).map(|at| StepState::new(shape.dependencies(at).len()));
        let work = Worklists { steps: steps.collect(), ..Worklists::default() };
        let mut open = [0; 4];
        for at in 0..shape.len() {
            if let Some(slot) = shape.phase(at).slot() {
                open[slot] += 1;
            }
        }
        let status = RunStatus::Queued;
        Self {
            id,
            lifecycle: Lifecycle { status, reason: None, started_at: None, ended_at: None },
            timer: Timer {
                limit: parse(&timeout_text(&plan)),
                since: None,
                fired: 0,
                paused_at: None,
            },
            plan,
            shape: Arc::new(shape),
            hash: None,
            stop: StopState::default(),
            outputs: None,
            failing_steps: BTreeSet::new(),
            phase: Phase::Idle,
            open,
            work,
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
        while let Some(fact) = following.take().or_else(|| next_fact(self, now)) {
            fold_one(self, now, &fact, &mut sink)?;
            facts.push(fact);
        }
        Ok(self.transition(facts, sink))
    }

    /// Folds one fact into the state.
    ///
    /// # Errors
    /// The fact cannot follow the facts before it.
    pub fn evolve(&mut self, at: Timestamp, fact: &Fact) -> Result<(), IllegalFact> {
        fold_one(self, at, fact, &mut Sink::default())
    }

    /// The fact that the input itself is; `None` for a tick, which only lets time pass.
    fn admit(&self, input: Input) -> Result<Option<Fact>, Rejected> {
        if self.hash.is_none() {
            return Err(Rejected::NotCreated);
        }
        match input {
            Input::Start => admit_start(self).map(Some),
            Input::Tick => Ok(None),
            Input::Condition { step, visit, value, reads } => {
                admit_condition(self, step, visit, value, reads).map(Some)
            }
            Input::Unschedulable { attempt, reason } => {
                admit_unschedulable(self, attempt, reason).map(Some)
            }
            Input::Schedulable { attempt } => admit_schedulable(self, attempt).map(Some),
            Input::Assigned { attempt, runner } => admit_assigned(self, attempt, runner).map(Some),
            Input::Started { attempt, runner, began, name } => {
                admit_started(self, attempt, (runner, began), name).map(Some)
            }
            Input::Ended { attempt, outcome, output } => {
                admit_ended(self, attempt, outcome, output).map(Some)
            }
            Input::Waits { attempt, what, until, name } => {
                admit_waits(self, attempt, (what, until), name).map(Some)
            }
            Input::Decide { attempt, decision } => {
                admit_decision(self, attempt, decision).map(Some)
            }
            Input::AsksCalls { attempt, calls, is_busy } => {
                admit_asked_calls(self, attempt, calls, is_busy).map(Some)
            }
            Input::Answer { attempt, event, outcome, output } => {
                admit_answer(self, attempt, event, (outcome, output)).map(Some)
            }
            Input::Child { attempt, child } => admit_child(self, attempt, child).map(Some),
            Input::Outputs { value } => admit_outputs(self, value).map(Some),
            Input::Lost { attempt, reason } => admit_lost(self, attempt, reason).map(Some),
            Input::Cancel { by, kill } => admit_cancel(self, by, kill).map(Some),
            Input::Reopen { by, from } => admit_reopen(self, by, &from).map(Some),
        }
    }

    /// Effects that a later fact of the same transition made pointless are left out.
    fn transition(&self, facts: Vec<Fact>, sink: Sink) -> Transition {
        let mut effects = sink.effects;
        effects.retain(|effect| self.is_pending(effect));
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
        let status = self.lifecycle.status;
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
