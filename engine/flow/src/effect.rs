//! Effects: what the shell must do. Each can be derived again from the state
//! (`Run::pending_effects`), so a crash between commit and deed loses nothing.

use plue_plan::{AttemptId, StepId};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Evaluate the step's `when` and answer with `Input::Condition`.
    EvaluateCondition {
        /// Step whose `when` is evaluated.
        step: StepId,
        /// Visit of the step, from 1.
        visit: u32,
    },
    /// Compute the plan's `outputs` and answer with `Input::Outputs`.
    EvaluateOutputs,
    /// Bring the attempt to an executor of its step's kind.
    Perform {
        /// The step that the caller performs.
        step: StepId,
        /// Visit of the step, from 1.
        visit: u32,
        /// Attempt number within the visit, from 1.
        number: u32,
        /// Id of the attempt to perform.
        attempt: AttemptId,
    },
    /// Stop a running attempt.
    Stop {
        /// The attempt that the caller stops.
        attempt: AttemptId,
        /// KILL instead of TERM, grace, KILL.
        kill: bool,
    },
    /// The run ended: release its runner, wake who waits.
    Finish,
}
