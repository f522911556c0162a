//! A batch: inputs that are applied and committed together, in one transaction.

use std::collections::BTreeSet;

use plue_flow::{Effect, Fact, Input};
use plue_plan::StepId;
use plue_pool::Ended;
use plue_wire::runner::Claim;

/// An input and what must be stored together with it.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) input: Input,
    /// The result and unstored events behind `Input::Ended`.
    pub(crate) end: Option<Box<Ended>>,
}

/// What came of applying inputs, not yet committed.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) facts: Vec<Fact>,
    pub(crate) touched: BTreeSet<StepId>,
    pub(crate) effects: Vec<Effect>,
}

// === impl Incoming ===

impl Incoming {
    pub(crate) fn plain(input: Input) -> Self {
        Self { input, end: None }
    }

    /// The claim whose result this is.
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
