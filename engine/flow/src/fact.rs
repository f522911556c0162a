//! Facts: the journal of a run. Append-only; old journals must fold for ever, so fields are only
//! ever added, with defaults.

use plue_plan::{AttemptId, PlanHash, RunnerId, StepId};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    status::{RunStatus, StepStatus},
    wait::{AskedCall, Awaited, Child, Decision},
};

/// One entry of the journal; `fact` is the discriminator. Its time is stored in a column of its
/// own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The run exists, pinned to its plan.
    RunCreated {
        /// Hash of the run's plan.
        plan: PlanHash,
        /// Only these steps run (`--step`, `--from`); empty: all.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        only: Vec<StepId>,
        /// Outputs of an earlier run that steps outside of `only` have.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        carried: Vec<Carried>,
    },
    /// The first step may start.
    RunStarted,
    /// A step's condition was evaluated.
    ConditionEvaluated {
        /// Step with the evaluated `when`.
        step: StepId,
        /// Visit of the step, from 1.
        visit: u32,
        /// The result, or what is wrong with the expression.
        value: Result<bool, String>,
        /// Values that the expression read, for `plue explain`.
        #[serde(default)]
        reads: Vec<(String, Json)>,
    },
    /// An attempt wants a runner.
    AttemptQueued {
        /// Step with a new attempt.
        step: StepId,
        /// Its visit, from 1.
        visit: u32,
        /// The attempt's number within the visit, from 1.
        number: u32,
        /// Id of the new attempt.
        attempt: AttemptId,
    },
    /// No runner can have the attempt as things are: it stays queued and takes no place of
    /// `max_parallel`.
    #[serde(rename = "attempt_held")]
    AttemptUnschedulable {
        /// Step of the attempt.
        step: StepId,
        /// Attempt without a suitable runner.
        attempt: AttemptId,
        /// Requirement that no runner meets.
        reason: String,
    },
    /// A runner can take an attempt that was unschedulable.
    #[serde(rename = "attempt_placed")]
    AttemptSchedulable {
        /// Step of the attempt.
        step: StepId,
        /// Attempt that can be claimed again.
        attempt: AttemptId,
    },
    /// A runner has the attempt; a process may run already. Recorded only if something else happens
    /// before the start is reported.
    AttemptAssigned {
        /// Step of the attempt.
        step: StepId,
        /// Attempt that was assigned.
        attempt: AttemptId,
        /// Runner with the claim.
        runner: RunnerId,
    },
    /// The attempt's process runs.
    AttemptStarted {
        /// Step of the attempt.
        step: StepId,
        /// The started attempt, with its number.
        attempt: AttemptId,
        /// Runner of the attempt; absent for work inside the engine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        runner: Option<RunnerId>,
        /// Start time, if earlier than this entry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        began: Option<jiff::Timestamp>,
        /// Value of the step's name in this attempt, if the name holds references.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<NameValue>,
    },
    /// The attempt waits for something outside of plue and occupies no place meanwhile.
    AttemptWaiting {
        /// Step of the attempt.
        step: StepId,
        /// The attempt that waits.
        attempt: AttemptId,
        /// The answer that it waits for.
        what: Awaited,
        /// Deadline of the wait, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<jiff::Timestamp>,
        /// Value of the step's name, if it holds references and the attempt begins by waiting.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<NameValue>,
    },
    /// A person answered an approval.
    DecisionMade {
        /// Step of the approval.
        step: StepId,
        /// The attempt that waits for it.
        attempt: AttemptId,
        /// The answer of the person.
        decision: Decision,
    },
    /// The agent of a running attempt asks people about these calls, in place of those before; an
    /// empty list ends its requests.
    CallsAsked {
        /// Step of the attempt.
        step: StepId,
        /// Attempt of the agent.
        attempt: AttemptId,
        /// Calls without a decision.
        calls: Vec<AskedCall>,
        /// True while other calls of the agent are under way.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_busy: bool,
        /// True if at least one call is new.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_news: bool,
    },
    /// An attempt of a `workflow` step has its child run.
    ChildStarted {
        /// Step of the attempt.
        step: StepId,
        /// Attempt that started the child.
        attempt: AttemptId,
        /// Child run, with its result once it has one.
        child: Child,
    },
    /// The plan's `outputs` were computed: all its steps ended well.
    OutputsEvaluated {
        /// Their values, or what is wrong with an expression.
        value: Result<Json, String>,
    },
    /// The outcome of an attempt is known.
    AttemptEnded {
        /// Step of the attempt.
        step: StepId,
        /// The attempt with this outcome.
        attempt: AttemptId,
        /// Result of the attempt.
        outcome: Outcome,
        /// The step's output if the attempt succeeded.
        #[serde(default, skip_serializing_if = "Json::is_null")]
        output: Json,
        /// Number of the event that ended it, for events that a step takes once each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<u64>,
    },
    /// The runner was lost before the process started: the same attempt is queued again, free.
    AttemptRequeued {
        /// Step of the attempt.
        step: StepId,
        /// Attempt that was lost.
        attempt: AttemptId,
        /// Cause of the loss, as a text.
        reason: String,
    },
    /// A further attempt will be queued at a time.
    RetryScheduled {
        /// The step that is retried.
        step: StepId,
        /// Visit of the step, from 1.
        visit: u32,
        /// The number of the attempt to come.
        number: u32,
        /// Time of the next attempt.
        at: jiff::Timestamp,
    },
    /// A step ended this visit.
    StepEnded {
        /// The step whose visit ended.
        step: StepId,
        /// Visit of the step, from 1.
        visit: u32,
        /// Terminal status of the step.
        status: StepStatus,
        /// Cause of the status, unless the status explains itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
    /// A `Goto` fired: these steps are pending again with `visit + 1`.
    LoopedBack {
        /// The step that fired.
        from: StepId,
        /// Target of the `Goto`.
        to: StepId,
        /// All steps that return, the two included.
        steps: Vec<StepId>,
    },
    /// A person or the API requested that the run stop.
    CancelRequested {
        /// Principal of the request.
        by: String,
        /// True if running attempts are killed without grace.
        #[serde(default)]
        kill: bool,
    },
    /// The run's own timeout is over.
    RunTimedOut,
    /// An ended run goes on: these steps are pending again (`plue retry`).
    RunReopened {
        /// Principal of the request.
        by: String,
        /// The steps that run again.
        steps: Vec<StepId>,
    },
    /// The run reached a terminal status.
    RunEnded {
        /// Terminal status of the run.
        status: RunStatus,
        /// Cause of the status, unless the status explains itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// The value of a name with references, or what is wrong with one of them.
pub type NameValue = Result<String, String>;

/// The output that a step which is not selected has from an earlier run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// A step that this run leaves out.
    pub step: StepId,
    /// The run in which it succeeded.
    pub run: plue_plan::RunId,
    /// Its output there; null: it had none.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub output: Json,
}

// === impl Fact ===

impl Fact {
    /// Event names that subscribers receive with the fact, like `step.dispatched`, in this order.
    /// The list is in `docs/reference/semantics.md`; a name never changes its meaning.
    #[must_use]
    pub fn events(&self) -> &'static [&'static str] {
        match self {
            Self::RunCreated { .. } => &["run.created"],
            Self::RunStarted => &["run.started"],
            Self::ConditionEvaluated { .. } => &["step.condition"],
            Self::AttemptQueued { .. } => &["step.dispatched"],
            Self::AttemptUnschedulable { .. } => &["step.held"],
            Self::AttemptSchedulable { .. } => &["step.placed"],
            Self::AttemptAssigned { .. } => &["step.assigned"],
            Self::AttemptStarted { .. } => &["step.started"],
            Self::AttemptWaiting { .. } => &["step.waiting"],
            Self::DecisionMade { .. } => &["step.decided"],
            Self::CallsAsked { .. } => &["step.asks"],
            Self::ChildStarted { .. } => &["step.child"],
            Self::OutputsEvaluated { .. } => &["run.outputs"],
            Self::AttemptEnded { .. } => &["step.result"],
            Self::AttemptRequeued { .. } => &["step.requeued"],
            Self::RetryScheduled { .. } => &["step.retry"],
            Self::StepEnded { status, .. } => ended(*status),
            Self::LoopedBack { .. } => &["run.looped", "run.progress"],
            Self::CancelRequested { .. } => &["run.cancelling"],
            Self::RunTimedOut => &["run.overdue"],
            Self::RunReopened { .. } => &["run.reopened", "run.progress"],
            Self::RunEnded { .. } => &["run.ended"],
        }
    }
}

/// A step has ended, and with it the run has moved on.
fn ended(status: StepStatus) -> &'static [&'static str] {
    match status {
        StepStatus::Success => &["step.succeeded", "run.progress"],
        StepStatus::Failed => &["step.failed", "run.progress"],
        StepStatus::Skipped => &["step.skipped", "run.progress"],
        StepStatus::Cancelled => &["step.cancelled", "run.progress"],
        StepStatus::TimedOut => &["step.timed_out", "run.progress"],
        // No end.
        StepStatus::Pending | StepStatus::Queued | StepStatus::Running | StepStatus::Waiting => &[],
    }
}

/// Result of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The work is done and its output is valid.
    Success,
    /// With an exit status other than 0.
    Exit {
        /// The status; `128 + n` for signal *n*.
        code: i32,
        /// The signal, if one ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
    /// Over the step's timeout.
    TimedOut,
    /// Stopped because the run was cancelled.
    Cancelled,
    /// Could not run, or its output was refused; the author can mend it.
    Refused {
        /// Problem and advice, for the user.
        message: String,
    },
    /// A call, a child run or another thing that is no process failed.
    Failed {
        /// Cause of the failure, for the user.
        message: String,
    },
    /// A person decided against it. Never retried.
    Rejected {
        /// Person and reason, for the user.
        message: String,
    },
    /// The runner was lost or broken after the process had started; not the author's fault.
    Infra {
        /// Cause of the failure, for the user.
        message: String,
    },
}

/// Cause of a step's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// `when` evaluated to false.
    ConditionFalse,
    /// `when` cannot be evaluated.
    ConditionError {
        /// Error of the evaluation.
        message: String,
    },
    /// A dependency did not end well.
    Blocked {
        /// Dependency that blocks the step.
        by: StepId,
        /// Status of that dependency.
        status: StepStatus,
    },
    /// Another step failed and the plan has `on_failure="stop"`.
    Stopped {
        /// The step that failed.
        by: StepId,
    },
    /// The run was cancelled before the step ran.
    RunCancelled,
    /// The run's timeout was over before the step ended.
    RunTimedOut,
    /// It is queued and no runner can have it.
    NoRunner {
        /// Requirement that no runner meets.
        message: String,
    },
    /// It waits for something outside.
    Awaits {
        /// The answer that it waits for.
        what: Awaited,
        /// Deadline of the wait, if it has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<jiff::Timestamp>,
        /// Principals that have approved so far.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        approved_by: Vec<String>,
    },
    /// Its child run is under way.
    ChildRun {
        /// Id of the child run.
        run: plue_plan::RunId,
    },
    /// Not selected (`--step`, `--from`).
    NotSelected,
    /// Not selected; its output is that of an earlier run, in which it succeeded.
    Carried {
        /// The run in which the step succeeded itself, not one that carried its output.
        run: plue_plan::RunId,
    },
    /// A hook that does not apply to the run's result.
    NotCalled {
        /// Result of the run.
        result: RunStatus,
    },
    /// The step failed and has `on_failure="skip"`.
    FailedButSkipped,
    /// The last attempt's outcome.
    Attempt {
        /// In words: `exit status 1`, `timed out after 5m`, …
        message: String,
        /// Number of attempts in this visit.
        attempts: u32,
    },
    /// A `Goto` fired once too often.
    LoopExhausted {
        /// Target of the `Goto`.
        to: StepId,
        /// Upper bound of visits of the target.
        max_visits: u32,
    },
}
