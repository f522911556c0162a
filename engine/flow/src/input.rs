//! Inputs: messages to a run from the outside.

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
    /// Starts a run that was created.
    Start,
    /// Only time has passed.
    Tick,
    /// Answers `Effect::EvaluateCondition`.
    Condition {
        /// Step with the evaluated `when`.
        step: StepId,
        /// Visit of the step, from 1.
        visit: u32,
        /// The result, or what is wrong with the expression.
        value: Result<bool, String>,
        /// Values that the expression read.
        reads: Vec<(String, Json)>,
    },
    /// No runner can have the queued attempt as things are.
    Unschedulable {
        /// Attempt without a suitable runner.
        attempt: AttemptId,
        /// Requirement that no runner meets.
        reason: String,
    },
    /// A runner can take an attempt that was unschedulable. Refused while `max_parallel` others
    /// run.
    Schedulable {
        /// Attempt that can be claimed again.
        attempt: AttemptId,
    },
    /// A runner has the attempt: from now on it cannot be withdrawn, only stopped.
    Assigned {
        /// Attempt that was assigned.
        attempt: AttemptId,
        /// Runner with the claim.
        runner: RunnerId,
    },
    /// The attempt's process runs.
    Started {
        /// The started attempt, with its number.
        attempt: AttemptId,
        /// Runner of the attempt; absent for work inside the engine.
        runner: Option<RunnerId>,
        /// Start time, if known to be before now.
        began: Option<Timestamp>,
        /// The value of the step's name, if it holds references.
        name: Option<NameValue>,
    },
    /// The attempt waits for something outside.
    Waits {
        /// The attempt that waits.
        attempt: AttemptId,
        /// The answer that it waits for.
        what: Awaited,
        /// Deadline of the wait, if it has one.
        until: Option<Timestamp>,
        /// The value of the step's name, if it holds references and [`Input::Started`] had none.
        name: Option<NameValue>,
    },
    /// A person answers an approval. The caller has validated the fields.
    Decide {
        /// The attempt that waits.
        attempt: AttemptId,
        /// The answer of the person.
        decision: Decision,
    },
    /// The agent of a running attempt asks people about calls; an empty list ends its requests.
    AsksCalls {
        /// Attempt of the agent.
        attempt: AttemptId,
        /// All its calls without a decision.
        calls: Vec<AskedCall>,
        /// True while other calls of the agent are under way.
        is_busy: bool,
    },
    /// The awaited answer of an attempt has arrived.
    Answer {
        /// The attempt that waits.
        attempt: AttemptId,
        /// Number of the event that it is.
        event: Option<u64>,
        /// Result of the attempt after the answer.
        outcome: Outcome,
        /// Output of the attempt.
        output: Json,
    },
    /// The plan of the attempt's child run is settled.
    Child {
        /// Attempt that started the child.
        attempt: AttemptId,
        /// The child, which need not exist yet.
        child: Child,
    },
    /// Answers `Effect::EvaluateOutputs`.
    Outputs {
        /// The values, or what is wrong with an expression.
        value: Result<Json, String>,
    },
    /// A running attempt ended.
    Ended {
        /// The attempt with this outcome.
        attempt: AttemptId,
        /// Result of the attempt.
        outcome: Outcome,
        /// Output of the attempt.
        output: Json,
    },
    /// The attempt's runner is gone.
    Lost {
        /// Attempt that was lost.
        attempt: AttemptId,
        /// Cause of the loss, as a text.
        reason: String,
    },
    /// A person or the API stops the run; the second request kills.
    Cancel {
        /// Principal of the request.
        by: String,
        /// True to kill without grace.
        kill: bool,
    },
    /// A person retries an ended run.
    Reopen {
        /// Principal of the request.
        by: String,
        /// The steps that run again.
        from: Reopen,
    },
}

/// Steps of an ended run to retry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reopen {
    /// Every step that did not succeed, and what depends on it.
    Failed,
    /// This step and everything behind it.
    From(StepId),
    /// All steps of the plan.
    All,
}
