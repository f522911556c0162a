//! A run as a whole: its steps, its outputs, and its waits.
//!
//! The command line prints the same records, with a server and without.

use jiff::Timestamp;
use plue_flow::{Awaited, Run, run::Waiting};
use plue_plan::{Action, Plan};
use plue_store::{NoteRow, RunRow, RunSource, StepRow, usage::claude::StepSpend};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{RunRecord, StepRecord, claude::ClaudeUsageRecord, test_results::TestsRecord};

/// A run, its steps, and what it waits for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct StatusRecord {
    /// The run as lists show it.
    pub run: RunRecord,
    /// Its steps in the order of the plan, then hooks.
    pub steps: Vec<StepRecord>,
    /// The plan's `outputs`, once all its steps ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Json>,
    /// The inputs of the run.
    #[serde(default)]
    pub inputs: Json,
    /// Waits of the run as a whole first, then of its steps.
    pub waiting: Vec<WaitingRecord>,
    /// Path of the workflow file.
    pub source: String,
    /// The purpose of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// The event that started it.
    pub event: CauseRecord,
    /// Notes of its runners, such as artifacts that nothing matched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<NoteRecord>,
    /// Its use of Claude; absent: it has asked nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<ClaudeUsageRecord>,
    /// Its test results by name; absent: its steps have left no test report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<TestsRecord>,
}

/// A sentence about an attempt of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoteRecord {
    /// The step with the note.
    pub step: String,
    /// The attempt with the note.
    pub attempt: String,
    /// The note, in words.
    pub text: String,
}

/// The event that started a run, without texts of untrusted authors.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct CauseRecord {
    /// `push`, `manual`, `schedule` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// The user that caused it, by the forge's name.
    pub actor: Option<String>,
    /// The branch that it names.
    pub branch: Option<String>,
    /// The tag that it names.
    pub tag: Option<String>,
    /// The commit that it names.
    pub sha: Option<String>,
}

/// A wait of a run, or of one of its steps.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct WaitingRecord {
    /// The step; absent: the run as a whole waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Kind of the wait, for scripts.
    #[serde(rename = "for")]
    pub what: WaitKind,
    /// The same in words.
    pub words: String,
    /// The concurrency group of a `turn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The run in front of a `turn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
    /// Users that may answer a decision; empty: everyone.
    pub approvers: Vec<String>,
    /// The call of an agent that a decision is about; it has to be named in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallRecord>,
    /// Approvals that a decision needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<u32>,
    /// Time at which waiting ends by itself, RFC 3339.
    pub until: Option<Timestamp>,
}

/// A call of an agent that people are to approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallRecord {
    /// Id of the call.
    pub id: String,
    /// Name of the tool.
    pub tool: String,
    /// All its arguments as JSON of one line, masked, with escapes for characters that hide others.
    pub arguments: String,
}

/// The conditions that a run or a step can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WaitKind {
    /// Of a step: people's answer.
    Decision,
    /// Of a step: a time.
    Time,
    /// Of a step: an event.
    Event,
    /// Of a step: the run that it started.
    Workflow,
    /// Of a step: the answer of what it called.
    Callback,
    /// Of a step: a runner that fits it.
    Runner,
    /// Of a run: its turn in its concurrency group.
    Turn,
    /// Of a run: a place among the runs that are driven at the same time.
    Place,
    /// Of a run: the key of a secret, or a secret that can be opened.
    Secret,
    /// Of a run: an engine that can start it.
    Engine,
    /// A retry by a user, of a run that several engines died with.
    Retry,
}

/// A decision that a user has to make.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalRecord {
    /// The run that waits for it.
    pub run: String,
    /// Name of its plan.
    pub workflow: String,
    /// `owner/name`, if known.
    pub repository: Option<String>,
    /// The step that waits.
    pub step: String,
    /// The question of the workflow.
    pub message: Option<String>,
    /// The call of an agent that is asked about; it has to be named in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallRecord>,
    /// Users that may answer; empty: everyone.
    pub approvers: Vec<String>,
    /// Approvals by different people that are needed.
    pub quorum: u32,
    /// JSON Schema of what is to be filled in.
    pub fields: Option<Json>,
    /// Time at which waiting ends by itself.
    pub until: Option<Timestamp>,
}

// === impl StatusRecord ===

impl StatusRecord {
    /// The record of a run that was read: its row, what it was made from, its plan, its journal
    /// folded, and the rows of its steps in any order.
    #[must_use]
    pub fn of(
        row: &RunRow,
        source: &RunSource,
        plan: &Plan,
        folded: &Run,
        mut steps: Vec<StepRow>,
    ) -> Self {
        steps.sort_by_cached_key(|row| plan.all_steps().position(|step| step.id == row.view.step));
        Self {
            run: RunRecord::of(row),
            steps: steps.iter().map(|row| StepRecord::of(row).named(folded)).collect(),
            inputs: source.inputs.clone(),
            outputs: folded.outputs().cloned(),
            waiting: folded.waiting().map(|waiting| WaitingRecord::of(&waiting)).collect(),
            source: source.source.clone(),
            goal: plan.goal.clone(),
            event: CauseRecord::of(&source.event),
            notes: Vec::new(),
            usage: None,
            tests: None,
        }
    }

    /// The same with the notes of its runners.
    #[must_use]
    pub fn with_notes(self, notes: &[NoteRow]) -> Self {
        Self { notes: notes.iter().map(NoteRecord::of).collect(), ..self }
    }

    /// The same with what keeps it from going on, before what its steps wait for.
    #[must_use]
    pub fn with_waits(mut self, waits: Vec<WaitingRecord>) -> Self {
        self.waiting.splice(0..0, waits);
        self
    }

    /// The same with its test results.
    #[must_use]
    pub fn with_tests(self, tests: Option<TestsRecord>) -> Self {
        Self { tests, ..self }
    }

    /// The same with its use of Claude.
    #[must_use]
    pub fn with_usage(self, spends: &[StepSpend]) -> Self {
        let steps = self.steps.into_iter().map(|step| step.with_usage(spends)).collect();
        Self { usage: ClaudeUsageRecord::sum(spends), steps, ..self }
    }
}

// === impl NoteRecord ===

impl NoteRecord {
    /// The record of a note.
    #[must_use]
    pub fn of(row: &NoteRow) -> Self {
        Self {
            step: row.step.to_string(),
            attempt: row.attempt.to_string(),
            text: row.text.clone(),
        }
    }
}

// === impl CauseRecord ===

impl CauseRecord {
    /// The record of an event.
    #[must_use]
    pub fn of(event: &Json) -> Self {
        let text = |name: &str| event.get(name).and_then(Json::as_str).map(str::to_owned);
        Self {
            kind: text("type").unwrap_or_else(|| "unknown".to_owned()),
            actor: text("actor"),
            branch: text("branch"),
            tag: text("tag"),
            sha: text("sha"),
        }
    }
}

// === impl WaitingRecord ===

impl WaitingRecord {
    /// The record of a step that waits.
    #[must_use]
    pub fn of(waiting: &Waiting<'_>) -> Self {
        let (what, approvers, quorum) = match waiting.what {
            Awaited::Decision { approvers, quorum, .. } => {
                (WaitKind::Decision, approvers.clone(), Some(*quorum))
            }
            Awaited::Time => (WaitKind::Time, Vec::new(), None),
            Awaited::Event { .. } => (WaitKind::Event, Vec::new(), None),
            Awaited::Workflow { .. } => (WaitKind::Workflow, Vec::new(), None),
            Awaited::Callback => (WaitKind::Callback, Vec::new(), None),
            Awaited::Call(_) => (WaitKind::Decision, Vec::new(), None),
        };
        Self {
            step: Some(waiting.step.to_string()),
            approvers,
            call: CallRecord::of(waiting.what),
            quorum,
            until: waiting.until,
            ..Self::of_run(what, waiting.what.to_string())
        }
    }

    /// The record of a run that waits as a whole.
    #[must_use]
    pub fn of_run(what: WaitKind, words: String) -> Self {
        Self {
            step: None,
            what,
            words,
            group: None,
            behind: None,
            approvers: Vec::new(),
            call: None,
            quorum: None,
            until: None,
        }
    }
}

// === impl CallRecord ===

impl CallRecord {
    /// The record of a call that waits for people; none of other waits.
    #[must_use]
    pub fn of(what: &Awaited) -> Option<Self> {
        let Awaited::Call(call) = what else { return None };
        let (tool, arguments) = (call.tool.clone(), call.arguments.clone());
        Some(Self { id: call.call.clone(), tool, arguments })
    }

    /// The options of a command that decides about it, with a space before; empty if there is none.
    #[must_use]
    pub fn option(call: Option<&Self>) -> String {
        call.map_or(String::new(), |call| format!(" --call {}", call.id))
    }
}

// === impl ApprovalRecord ===

impl ApprovalRecord {
    /// The record of a step that waits; none if it waits for no decision.
    #[must_use]
    pub fn of(row: &RunRow, plan: &Plan, waiting: &Waiting<'_>) -> Option<Self> {
        let (message, approvers, quorum) = match waiting.what {
            Awaited::Decision { message, approvers, quorum } => {
                (message.clone(), approvers.clone(), *quorum)
            }
            Awaited::Call(call) => {
                (Some(format!("{} {}", call.tool, call.arguments)), Vec::new(), 1)
            }
            Awaited::Time
            | Awaited::Event { .. }
            | Awaited::Workflow { .. }
            | Awaited::Callback => return None,
        };
        let fields = match plan.step(&waiting.step).map(|step| &step.action) {
            Some(Action::Approval(approval)) => approval.fields.clone(),
            Some(_) | None => None,
        };
        Some(Self {
            run: row.id.to_string(),
            workflow: row.workflow.clone(),
            repository: row.repo.clone(),
            step: waiting.step.to_string(),
            message,
            call: CallRecord::of(waiting.what),
            approvers,
            quorum,
            fields,
            until: waiting.until,
        })
    }
}
