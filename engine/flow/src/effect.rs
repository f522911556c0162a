//! Effects: what the shell must do. Each can be derived again from the state
//! (`Run::pending_effects`), so a crash between commit and deed loses nothing.

use plue_plan::{AttemptId, StepId};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Evaluate the step's `when` and answer with `Input::Condition`.
    EvaluateCondition {
        /// The step.
        step: StepId,
        /// Its visit.
        visit: u32,
    },
    /// Compute the plan's `outputs` and answer with `Input::Outputs`.
    EvaluateOutputs,
    /// Bring the attempt to an executor of its step's kind.
    Perform {
        /// The step.
        step: StepId,
        /// Its visit.
        visit: u32,
        /// The attempt's number.
        number: u32,
        /// The attempt.
        attempt: AttemptId,
    },
    /// Stop the attempt.
    Stop {
        /// The attempt.
        attempt: AttemptId,
        /// KILL instead of TERM, grace, KILL.
        kill: bool,
    },
    /// The run ended: release its runner, wake who waits.
    Finish,
}
