//! Facts: the journal of a run. Append-only; old journals must fold for ever, so fields are only
//! ever added, with defaults.

use plue_plan::{AttemptId, PlanHash, RunnerId, StepId};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::{
    status::{RunStatus, StepStatus},
    wait::{AskedCall, Awaited, Child, Decision},
};

/// One entry of the journal; `fact` is the discriminator. Its time is stored beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The run exists, pinned to its plan.
    RunCreated {
        /// The plan.
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
        /// The step.
        step: StepId,
        /// Its visit.
        visit: u32,
        /// The result, or what is wrong with the expression.
        value: Result<bool, String>,
        /// What the expression read, for `plue explain`.
        #[serde(default)]
        reads: Vec<(String, Json)>,
    },
    /// An attempt wants a runner.
    AttemptQueued {
        /// The step.
        step: StepId,
        /// Its visit, from 1.
        visit: u32,
        /// The attempt's number within the visit, from 1.
        number: u32,
        /// Its id.
        attempt: AttemptId,
    },
    /// No runner can have the attempt as things are: it stays queued and takes no place of
    /// `max_parallel`.
    AttemptHeld {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: AttemptId,
        /// What it asks for and who does not have it.
        reason: String,
    },
    /// There is a runner for an attempt that was held.
    AttemptPlaced {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: AttemptId,
    },
    /// A runner has the attempt; a process may run already. Only told when something else happens
    /// before the start is reported.
    AttemptAssigned {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: AttemptId,
        /// Who has it.
        runner: RunnerId,
    },
    /// The attempt's process runs.
    AttemptStarted {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: AttemptId,
        /// Who runs it; absent for work inside the engine.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        runner: Option<RunnerId>,
        /// When it began, if that was before this entry was written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        began: Option<jiff::Timestamp>,
        /// Value of the step's name in this attempt, if the name holds references.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<NameValue>,
    },
    /// The attempt waits for something outside of plue and occupies no place meanwhile.
    AttemptWaiting {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: AttemptId,
        /// For what.
        what: Awaited,
        /// When waiting ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<jiff::Timestamp>,
        /// Value of the step's name, if it holds references and the attempt begins by waiting.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<NameValue>,
    },
    /// Somebody answered an approval.
    DecisionMade {
        /// The step.
        step: StepId,
        /// The attempt that waits for it.
        attempt: AttemptId,
        /// The answer.
        decision: Decision,
    },
    /// The agent of a running attempt asks people about these calls, in place of those before; none: it
    /// asks nothing any more.
    CallsAsked {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: AttemptId,
        /// Calls without a decision.
        calls: Vec<AskedCall>,
        /// Whether other calls of the agent are under way.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_busy: bool,
        /// Whether one of the calls is new.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_news: bool,
    },
    /// An attempt of a `workflow` step has its child run.
    ChildStarted {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: AttemptId,
        /// The child.
        child: Child,
    },
    /// The plan's `outputs` were computed: all its steps ended well.
    OutputsEvaluated {
        /// Their values, or what is wrong with an expression.
        value: Result<Json, String>,
    },
    /// The attempt ended.
    AttemptEnded {
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: AttemptId,
        /// How.
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
        /// The step.
        step: StepId,
        /// The attempt.
        attempt: AttemptId,
        /// What happened.
        reason: String,
    },
    /// A further attempt will be queued at a time.
    RetryScheduled {
        /// The step.
        step: StepId,
        /// Its visit.
        visit: u32,
        /// The number of the attempt to come.
        number: u32,
        /// When.
        at: jiff::Timestamp,
    },
    /// A step ended this visit.
    StepEnded {
        /// The step.
        step: StepId,
        /// Its visit.
        visit: u32,
        /// A terminal status.
        status: StepStatus,
        /// Why, if there is something to say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
    },
    /// A `Goto` fired: these steps are pending again with `visit + 1`.
    LoopedBack {
        /// The step that fired.
        from: StepId,
        /// The target.
        to: StepId,
        /// All steps that return, the two included.
        steps: Vec<StepId>,
    },
    /// Somebody asked for the run to stop.
    CancelRequested {
        /// Who.
        by: String,
        /// Whether running attempts are killed at once.
        #[serde(default)]
        kill: bool,
    },
    /// The run's own timeout is over.
    RunTimedOut,
    /// An ended run goes on: these steps are pending again (`plue retry`).
    RunReopened {
        /// Who.
        by: String,
        /// The steps that run again.
        steps: Vec<StepId>,
    },
    /// The run ended.
    RunEnded {
        /// A terminal status.
        status: RunStatus,
        /// Why, if there is something to say.
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
    /// The events that it is to somebody who watches: names like `step.dispatched` that are told with
    /// it, in this order. The list is in `docs/semantics.md`; a name never changes its meaning.
    #[must_use]
    pub fn events(&self) -> &'static [&'static str] {
        match self {
            Self::RunCreated { .. } => &["run.created"],
            Self::RunStarted => &["run.started"],
            Self::ConditionEvaluated { .. } => &["step.condition"],
            Self::AttemptQueued { .. } => &["step.dispatched"],
            Self::AttemptHeld { .. } => &["step.held"],
            Self::AttemptPlaced { .. } => &["step.placed"],
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

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Well.
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
        /// What is wrong and what to do.
        message: String,
    },
    /// A call, a child run or another thing that is no process failed.
    Failed {
        /// What happened.
        message: String,
    },
    /// Somebody decided against it. Never tried again.
    Rejected {
        /// Who and why, in words.
        message: String,
    },
    /// The runner was lost or broken after the process had started; not the author's fault.
    Infra {
        /// What happened.
        message: String,
    },
}

/// Why a step has its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// `when` is false.
    ConditionFalse,
    /// `when` cannot be evaluated.
    ConditionError {
        /// What is wrong.
        message: String,
    },
    /// A dependency did not end well.
    Blocked {
        /// Which.
        by: StepId,
        /// How it ended.
        status: StepStatus,
    },
    /// A step failed and the plan says `on_failure="stop"`.
    Stopped {
        /// Which.
        by: StepId,
    },
    /// The run was cancelled before the step ran.
    RunCancelled,
    /// The run's timeout was over before the step ended.
    RunTimedOut,
    /// It is queued and no runner can have it.
    NoRunner {
        /// What it asks for and who does not have it.
        message: String,
    },
    /// It waits for something outside.
    Awaits {
        /// For what.
        what: Awaited,
        /// When waiting ends by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<jiff::Timestamp>,
        /// Who approved so far.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        approved_by: Vec<String>,
    },
    /// Its child run is under way.
    ChildRun {
        /// The child.
        run: plue_plan::RunId,
    },
    /// Not selected (`--step`, `--from`).
    NotSelected,
    /// Not selected; its output is that of an earlier run, in which it succeeded.
    Carried {
        /// The run in which the step succeeded itself, not one that carried its output.
        run: plue_plan::RunId,
    },
    /// A hook whose occasion did not come: the run had this result.
    NotCalled {
        /// The result.
        result: RunStatus,
    },
    /// The step failed and says `on_failure="skip"`.
    FailedButSkipped,
    /// The last attempt's outcome.
    Attempt {
        /// In words: `exit status 1`, `timed out after 5m`, …
        message: String,
        /// How many attempts there were in this visit.
        attempts: u32,
    },
    /// A `Goto` fired once too often.
    LoopExhausted {
        /// Its target.
        to: StepId,
        /// The bound.
        max_visits: u32,
    },
}
