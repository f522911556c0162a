//! The documents of `--output json`: versioned records, additive only, with published JSON Schemas.
//!
//! Must not print. Every document has `schema_version`; a field never changes its meaning.

use plue_api::records::transcript::TranscriptRecord;
pub use plue_api::records::{RunRecord, StepRecord, status::StatusRecord, story::ExplainRecord};
use plue_plan::{
    Diagnostic,
    schema::{Published, of},
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value as Json;

use self::agent_result::AgentResult;
use crate::commands::logs::writer::{Whose, name};

pub mod agent_result;
pub mod event;
pub mod server;
pub mod texts;

/// The version of all documents.
pub const SCHEMA_VERSION: u32 = 1;

/// The schemas of the command line's own documents.
pub const ALL: [Published; 14] = [
    Published { name: "runs", schema: of::<Runs> },
    Published { name: "status", schema: of::<Status> },
    Published { name: "list", schema: of::<List> },
    Published { name: "tasks", schema: of::<Tasks> },
    Published { name: "task-file", schema: of::<TaskFile> },
    Published { name: "validate", schema: of::<Validated> },
    Published { name: "explain", schema: of::<Explained> },
    Published { name: "logs", schema: of::<Logs> },
    Published { name: "transcript", schema: of::<Transcript> },
    Published { name: "verify", schema: of::<Verified> },
    Published { name: "replay", schema: of::<Replayed> },
    Published { name: "plan-changes", schema: of::<PlanChanges<'static>> },
    Published { name: "doctor", schema: of::<Doctor> },
    Published { name: "config", schema: of::<ConfigShown> },
];

/// `plue runs`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Runs {
    /// Always 1.
    pub schema_version: u32,
    /// Sorted newest first.
    pub runs: Vec<RunRecord>,
}

/// `plue status`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Status {
    /// Always 1.
    pub schema_version: u32,
    /// The run, its steps, and what it waits for.
    #[serde(flatten)]
    pub status: StatusRecord,
}

/// `plue explain`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explained {
    /// Always 1.
    pub schema_version: u32,
    /// The run, explained step by step.
    #[serde(flatten)]
    pub explanation: ExplainRecord,
}

/// `plue list`
#[derive(Debug, Serialize, JsonSchema)]
pub struct List {
    /// Always 1.
    pub schema_version: u32,
    /// Sorted by file.
    pub workflows: Vec<WorkflowRecord>,
}

/// `plue plan list`, `plue plan status`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Tasks {
    /// Always 1.
    pub schema_version: u32,
    /// Sorted by file.
    pub tasks: Vec<TaskRecord>,
}

/// A workflow as a task.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TaskRecord {
    /// Name of its plan.
    pub task: String,
    /// Path in the repository.
    pub file: String,
    /// Its last run, if it ever ran.
    pub run: Option<RunRecord>,
}

/// `tasks/TASK.json` of `plue export --layout files`
#[derive(Debug, Serialize, JsonSchema)]
pub struct TaskFile {
    /// Always 1.
    pub schema_version: u32,
    /// Name of the workflow.
    pub task: String,
    /// Newest run of the task.
    pub last: RunRecord,
}

/// `plue validate`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Validated {
    /// Always 1.
    pub schema_version: u32,
    /// Files that were looked at.
    pub files: Vec<String>,
    /// Errors and warnings, by file.
    pub diagnostics: Vec<Diagnostic>,
}

/// `plue logs`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Logs {
    /// Always 1.
    pub schema_version: u32,
    /// Id of the run.
    pub run: String,
    /// Lines in order, or those that were searched for.
    pub lines: Vec<LogLine>,
}

/// `plue transcript`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Transcript {
    /// Always 1.
    pub schema_version: u32,
    /// Id of the run.
    pub run: String,
    /// Facts in order, or those that were searched for.
    pub facts: Vec<TranscriptFact>,
    /// The result of each agent; empty after a search.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<AgentResult>,
}

/// `plue plan --verify`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verified {
    /// Always 1.
    pub schema_version: u32,
    /// Id of the run.
    pub run: String,
    /// Hash of its plan.
    pub plan: String,
    /// Whether the same plan came out.
    pub equal: bool,
    /// Differences: sources and facts of the commit, then the first field of the plan.
    pub differences: Vec<DifferenceRecord>,
    /// Problems that prevent a plan.
    pub diagnostics: Vec<Diagnostic>,
}

/// `plue replay`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Replayed {
    /// Always 1.
    pub schema_version: u32,
    /// The replay, a run of its own.
    pub run: String,
    /// The run that was repeated.
    pub of: String,
    /// Whether it went as recorded.
    pub equal: bool,
    /// Recorded answers of Claude that were used.
    pub answers: u64,
    /// The first difference; absent: there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub divergence: Option<DivergenceRecord>,
}

/// The first difference between a replay and its recording.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DivergenceRecord {
    /// The step; one of a child run after the steps above it: `build/review`.
    pub step: String,
    /// The turn of the agent, counted from 1; absent: it is the end of the step that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<u32>,
    /// The part that differs.
    pub what: String,
    /// An excerpt of it as recorded.
    pub recorded: String,
    /// An excerpt of it now.
    pub now: String,
}

/// `plue plan --diff`
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanChanges<'a> {
    /// Always 1.
    pub schema_version: u32,
    /// By file and name.
    pub plans: &'a [PlanChange],
}

/// One plan then and now.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PlanChange {
    /// Path of the workflow file.
    pub file: String,
    /// Name of the plan.
    pub name: String,
    /// Its hash at the other commit; absent: it is new.
    pub before: Option<String>,
    /// Its hash now; absent: it is gone.
    pub after: Option<String>,
    /// Changes from the old to the new plan.
    pub diff: plue_plan::diff::PlanDiff,
}

/// `plue doctor`
#[derive(Debug, Serialize, JsonSchema)]
pub struct Doctor {
    /// Always 1.
    pub schema_version: u32,
    /// Whether nothing that is needed is missing.
    pub healthy: bool,
    /// In the order they were made.
    pub checks: Vec<Check>,
}

/// `plue config show`
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConfigShown {
    /// Always 1.
    pub schema_version: u32,
    /// Every key of the configuration.
    pub config: Vec<ConfigRecord>,
}

/// One value of the configuration.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ConfigRecord {
    /// Dotted name of the key.
    pub key: &'static str,
    /// Its value; passwords are hidden.
    pub value: Json,
    /// The file, variable or flag that set it, or `default`.
    pub origin: String,
}

/// One workflow file, or one plan of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WorkflowRecord {
    /// Path in the repository.
    pub file: String,
    /// Name of the plan; absent if the file is broken.
    pub name: Option<String>,
    /// Hash of the plan without an event.
    pub plan: Option<String>,
    /// Triggers as text for people.
    pub triggers: Vec<String>,
    /// Number of its steps.
    pub steps: usize,
    /// Errors and warnings of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// One line of a log.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogLine {
    /// Id of the step.
    pub step: String,
    /// Number of the visit, from 1.
    pub visit: u32,
    /// The attempt's number within the visit.
    pub attempt: u32,
    /// Its number in the attempt's log, from 1.
    pub line: u64,
    /// The line without its end; bytes that are no UTF-8 become U+FFFD.
    pub text: String,
}

/// One fact of the transcript of a Claude step.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TranscriptFact {
    /// Id of the step.
    pub step: String,
    /// Number of the visit, from 1.
    pub visit: u32,
    /// The attempt's number within the visit.
    pub attempt: u32,
    /// Role or prompt, and numbers, of an agent that another one started: `reviewer 1`. Absent: the step's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Number, time and content.
    #[serde(flatten)]
    pub record: TranscriptRecord,
}

/// Something that is not as it was.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DifferenceRecord {
    /// A source or fact of the commit, a field of the plan, or `evaluator`.
    pub what: String,
    /// Value at the recorded run.
    pub then: String,
    /// Value of the new plan.
    pub now: String,
}

/// One check of this machine.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Check {
    /// Name of the checked part.
    pub what: String,
    /// Severity of the result.
    pub level: Level,
    /// Result of the check as text.
    pub found: String,
    /// Method of the check.
    pub how: String,
    /// Advice, if there is any.
    pub fix: Option<String>,
}

/// Severity of a check's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The part works as required.
    Ok,
    /// Something that some workflows need is missing.
    Warn,
    /// No run can start.
    Fail,
}

// === impl TranscriptFact ===

impl TranscriptFact {
    /// The attempt that it is of.
    pub(crate) fn whose(&self) -> Whose {
        Whose { step: self.step.clone(), visit: self.visit, number: self.attempt }
    }

    /// The name of the attempt, with that of the agent: `review › reviewer 1`.
    pub(crate) fn place(&self) -> String {
        let attempt = name(&self.whose());
        self.agent.as_ref().map_or(attempt.clone(), |agent| format!("{attempt} › {agent}"))
    }

    /// The lines of its texts; signatures and other names of the API's own are among them.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        collect_lines(&self.record.fact, &mut lines);
        lines
    }
}

fn collect_lines(value: &Json, lines: &mut Vec<String>) {
    match value {
        Json::String(text) => lines.extend(text.lines().map(str::to_owned)),
        Json::Array(items) => items.iter().for_each(|item| collect_lines(item, lines)),
        Json::Object(fields) => fields.values().for_each(|field| collect_lines(field, lines)),
        Json::Null | Json::Bool(_) | Json::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn row_4_11_the_published_schemas_are_those_of_the_documents() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas");
        for published in ALL.iter().chain(&texts::ALL).chain(&event::ALL).chain(&server::ALL) {
            let name = published.name;
            let file = std::fs::read_to_string(folder.join(format!("{name}.json")));
            let current: Json = serde_json::from_str(&file.unwrap_or_default()).unwrap_or_default();
            assert!(
                current == (published.schema)(),
                "out of date: plue schema {name} > docs/schemas/{name}.json"
            );
        }
    }

    #[test]
    fn no_name_is_given_to_two_schemas() {
        let mut names: Vec<_> = ALL.iter().map(|published| published.name).collect();
        names.extend(server::ALL.iter().map(|published| published.name));
        names.extend(texts::ALL.iter().map(|published| published.name));
        names.extend(plue_plan::schema::ALL.iter().map(|published| published.name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
