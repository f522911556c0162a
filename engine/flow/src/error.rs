//! Refusals of the core. A refusal never changes the state.

use plue_plan::StepId;

use crate::{machine::Illegal, status::RunStatus};

/// An input that does not fit the state: too late, too early or about nothing known. The shell logs
/// it and goes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// The journal does not begin yet.
    #[error("the run was not created")]
    NotCreated,
    /// The run was started before.
    #[error("the run was started before")]
    AlreadyStarted,
    /// The run did not start yet.
    #[error("the run did not start yet")]
    NotStarted,
    /// The run has ended.
    #[error("the run ended: {status}")]
    Ended {
        /// Terminal status of the run.
        status: RunStatus,
    },
    /// No such step in the plan.
    #[error("the plan has no step {step}")]
    UnknownStep {
        /// Id that the plan does not have.
        step: StepId,
    },
    /// The attempt, or the condition of the visit, is not the one that is open.
    #[error("{what} is not open")]
    Stale {
        /// Subject of the input, as a text.
        what: String,
    },
    /// Only some people may answer an approval.
    #[error("only {} may answer it", approvers.join(", "))]
    NotAnApprover {
        /// Principals allowed to answer.
        approvers: Vec<String>,
    },
    /// One answer for each person.
    #[error("{by} has answered already")]
    AnsweredAlready {
        /// Principal of the rejected answer.
        by: String,
    },
    /// The run was cancelled, and everything that runs is being killed.
    #[error("the run is being killed")]
    AlreadyCancelled,
    /// Only an ended run can be reopened.
    #[error("the run did not end yet: {status}")]
    NotEnded {
        /// Current state of the run.
        status: RunStatus,
    },
    /// No step to run again.
    #[error("no step of the run failed")]
    NothingToReopen,
    /// The core decided something that its own tables refuse: a bug. The state may be half changed;
    /// the run must be folded from its journal again.
    #[error("internal: {0}")]
    Internal(#[from] IllegalFact),
}

/// A fact that cannot follow the facts before it: the journal is damaged or of another plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalFact {
    /// A status cannot change that way.
    #[error(transparent)]
    Transition(#[from] Illegal),
    /// No such step in the plan.
    #[error("the plan has no step {step}")]
    UnknownStep {
        /// The id in the fact.
        step: StepId,
    },
    /// The fact comes out of turn.
    #[error("{fact} does not fit the state: {why}")]
    OutOfTurn {
        /// Name of the rejected fact.
        fact: &'static str,
        /// Violated rule, as a text.
        why: &'static str,
    },
}
