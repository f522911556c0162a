//! A batch: inputs that are applied and committed together, in one transaction.

use std::collections::{BTreeSet, HashMap, HashSet};

use plue_flow::{Effect, Fact, Input};
use plue_plan::{AttemptId, RunnerId, StepId};
use plue_pool::Ended;
use plue_wire::runner::Claim;

/// An input and what must be stored together with it.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) input: Input,
    /// The result and the unstored log events behind `Input::Ended`.
    pub(crate) end: Option<Box<Ended>>,
}

/// The transition of a set of inputs, before its commit.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) facts: Vec<Fact>,
    /// Steps whose rows change.
    pub(crate) touched: BTreeSet<StepId>,
    pub(crate) effects: Vec<Effect>,
}

/// Runners and claims at the time of a commit.
#[derive(Debug)]
pub(crate) struct RunnerState<'a> {
    pub(crate) claims: &'a HashMap<AttemptId, Claim>,
    /// Attempts with rows although the engine performs their steps.
    pub(crate) agent_rows: &'a HashSet<AttemptId>,
    /// The pool whose runners may claim attempts of the run.
    pub(crate) pool: &'static str,
    /// The session that may get queued attempts.
    pub(crate) session: Option<Session>,
}

/// The connection of a runner that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) runner: RunnerId,
    /// Counts the connections of the runner.
    pub(crate) epoch: u64,
}

// === impl Incoming ===

impl Incoming {
    pub(crate) fn plain(input: Input) -> Self {
        Self { input, end: None }
    }

    /// The claim whose result the input carries.
    pub(crate) fn claim(&self) -> Option<&Claim> {
        self.end.as_ref().map(|end| &end.result.claim)
    }
}

// === impl Batch ===

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.facts.is_empty() && self.effects.is_empty()
    }
}

// === impl RunnerState ===

impl RunnerState<'_> {
    pub(crate) fn has_row(&self, attempt: &AttemptId) -> bool {
        self.claims.contains_key(attempt) || self.agent_rows.contains(attempt)
    }
}
