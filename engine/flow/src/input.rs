//! Inputs: what the outside tells a run.

use jiff::Timestamp;
use plue_plan::{AttemptId, RunnerId, StepId};
use serde_json::Value as Json;

use crate::fact::Outcome;

/// Something that the run must react to. Inputs that no longer fit (an attempt that ended twice, a
/// condition of an older visit) are answered with `Rejected`, which the shell logs and forgets.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Begin.
    Start,
    /// Time has passed.
    Tick,
    /// Answer to `Effect::EvaluateCondition`.
    Condition {
        /// The step.
        step: StepId,
        /// Its visit.
        visit: u32,
        /// The result, or what is wrong with the expression.
        value: Result<bool, String>,
        /// What it read.
        reads: Vec<(String, Json)>,
    },
    /// A runner has the attempt: from now on it cannot be withdrawn, only stopped.
    Assigned {
        /// The attempt.
        attempt: AttemptId,
        /// Who has it.
        runner: RunnerId,
    },
    /// The attempt's process runs.
    Started {
        /// The attempt.
        attempt: AttemptId,
        /// Who runs it.
        runner: Option<RunnerId>,
        /// When it began, if that is known to be before now.
        began: Option<Timestamp>,
    },
    /// The attempt ended.
    Ended {
        /// The attempt.
        attempt: AttemptId,
        /// How.
        outcome: Outcome,
        /// Its output.
        output: Json,
    },
    /// The attempt's runner is gone.
    Lost {
        /// The attempt.
        attempt: AttemptId,
        /// What happened.
        reason: String,
    },
    /// Somebody wants the run to stop; a second time: at once.
    Cancel {
        /// Who.
        by: String,
        /// Kill without grace.
        kill: bool,
    },
    /// Somebody wants an ended run to go on.
    Reopen {
        /// Who.
        by: String,
        /// From where.
        from: Reopen,
    },
}

/// Which steps of an ended run go again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reopen {
    /// Every step that did not succeed, and what depends on it.
    Failed,
    /// This step and everything behind it.
    From(StepId),
    /// Every step.
    All,
}
