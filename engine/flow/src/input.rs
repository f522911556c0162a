//! Inputs: what the outside tells a run.

use jiff::Timestamp;
use plue_plan::{AttemptId, RunnerId, StepId};
use serde_json::Value as Json;

use crate::{
    fact::{NameValue, Outcome},
    wait::{AskedCall, Awaited, Child, Decision},
};

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
    /// No runner can have the queued attempt as things are.
    Held {
        /// The attempt.
        attempt: AttemptId,
        /// What it asks for and who does not have it.
        reason: String,
    },
    /// There is a runner for an attempt that was held. Refused while `max_parallel` others run.
    Placed {
        /// The attempt.
        attempt: AttemptId,
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
        /// The value of the step's name, if it holds references.
        name: Option<NameValue>,
    },
    /// The attempt waits for something outside.
    Waits {
        /// The attempt.
        attempt: AttemptId,
        /// For what.
        what: Awaited,
        /// When waiting ends by itself.
        until: Option<Timestamp>,
        /// The value of the step's name, if it holds references and [`Input::Started`] had none.
        name: Option<NameValue>,
    },
    /// Somebody answers an approval. Whether the fields fit was checked before.
    Decide {
        /// The attempt that waits.
        attempt: AttemptId,
        /// The answer.
        decision: Decision,
    },
    /// The agent of a running attempt asks people about calls; none: it asks nothing any more.
    AsksCalls {
        /// The attempt.
        attempt: AttemptId,
        /// All its calls without a decision.
        calls: Vec<AskedCall>,
        /// Whether other calls of the agent are under way.
        is_busy: bool,
    },
    /// What an attempt waited for has come.
    Answer {
        /// The attempt that waits.
        attempt: AttemptId,
        /// Number of the event that it is.
        event: Option<u64>,
        /// How the attempt ends now.
        outcome: Outcome,
        /// With what.
        output: Json,
    },
    /// The plan of the attempt's child run is settled.
    Child {
        /// The attempt.
        attempt: AttemptId,
        /// The child, which need not exist yet.
        child: Child,
    },
    /// Answer to `Effect::EvaluateOutputs`.
    Outputs {
        /// The values, or what is wrong with an expression.
        value: Result<Json, String>,
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
