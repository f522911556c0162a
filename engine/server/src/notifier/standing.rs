//! The current state of a plan, for its status, check and comment.

use jiff::{SignedDuration, Timestamp};
use plue_api::records::test_results::TestsRecord;
use plue_flow::{RunStatus, StepStatus};
use plue_forge::feedback::{
    Annotation, Level, Outcome, PlanReport, State, StepReport, TestsReport,
};
use plue_plan::{Diagnostic, RunId};
use plue_store::{RunRow, Store};

use super::report_content::{DispatchOutcome, ReportEntry};
use crate::error::Error;

/// The current state of one plan.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    pub(super) state: State,
    /// Description of the status.
    pub(super) description: String,
    /// Row of the comment.
    pub(super) report: PlanReport,
    /// Annotations of files and lines.
    pub(super) annotations: Vec<Annotation>,
    /// Whether the state is final unless a person acts.
    pub(super) is_final: bool,
}

// === impl Standing ===

impl Standing {
    /// Reads the current state of an entry. `public` is the address of this server for people.
    pub(super) async fn read(
        store: &Store,
        entry: &ReportEntry,
        public: Option<&str>,
    ) -> Result<Self, Error> {
        match &entry.outcome {
            DispatchOutcome::Run(id) => of_run(store, entry, id, public).await,
            DispatchOutcome::Skipped(reason) => {
                let outcome = Outcome::Skipped { reason: reason.clone() };
                Ok(Self::fixed(entry, State::Skipped, format!("skipped: {reason}"), outcome))
            }
            DispatchOutcome::AwaitingApproval(reason) => {
                let outcome = Outcome::Waiting { reason: reason.clone() };
                Ok(Self::fixed(entry, State::Pending, format!("waits: {reason}"), outcome))
            }
            DispatchOutcome::Invalid(problems) => Ok(of_problems(entry, problems)),
        }
    }

    fn fixed(entry: &ReportEntry, state: State, description: String, outcome: Outcome) -> Self {
        let report = PlanReport {
            name: entry.name.clone(),
            file: entry.file.clone(),
            outcome,
            change: entry.change.clone(),
            url: None,
            took: None,
            steps: Vec::new(),
            tests: None,
        };
        Self { state, description, report, annotations: Vec::new(), is_final: true }
    }
}

fn of_problems(entry: &ReportEntry, problems: &[Diagnostic]) -> Standing {
    let lines: Vec<String> = problems.iter().map(line).collect();
    let outcome = Outcome::Invalid { problems: lines.join("\n") };
    let first = lines.first().cloned().unwrap_or_else(|| "it is invalid".to_owned());
    let description = match problems.len() {
        0 | 1 => first,
        more => format!("{first} (and {} more)", more - 1),
    };
    let mut standing = Standing::fixed(entry, State::Failure, description, outcome);
    standing.annotations = problems.iter().filter_map(annotation).collect();
    standing
}

fn line(problem: &Diagnostic) -> String {
    let place = problem.span.as_ref().map_or_else(String::new, |span| format!("{span}: "));
    format!("{place}{} [{}]", problem.message, problem.code.as_str())
}

fn annotation(problem: &Diagnostic) -> Option<Annotation> {
    let span = problem.span.as_ref()?;
    let start = span.line;
    Some(Annotation {
        path: span.file.clone(),
        start_line: start,
        end_line: span.end_line.unwrap_or(start),
        level: Level::Failure,
        title: problem.code.as_str().to_owned(),
        message: problem.message.clone(),
    })
}

async fn of_run(
    store: &Store,
    entry: &ReportEntry,
    id: &RunId,
    public: Option<&str>,
) -> Result<Standing, Error> {
    let Some(row) = store.runs().get(id).await? else {
        // Removed by retention.
        let outcome = Outcome::Cancelled;
        return Ok(Standing::fixed(entry, State::Error, "the run is gone".to_owned(), outcome));
    };
    let (state, outcome) = of_status(&row);
    let mut standing = Standing::fixed(entry, state, row.view.status.to_string(), outcome);
    let report = &mut standing.report;
    report.url = public.map(|public| format!("{}/runs/{id}", public.trim_end_matches('/')));
    report.took = took(row.view.started_at, row.view.ended_at);
    if row.view.status.is_terminal() && row.view.status != RunStatus::Success {
        report.steps = failed_steps(store, id).await?;
    }
    if row.view.status.is_terminal() {
        report.tests = TestsRecord::brief(store, id).await?.map(tests);
    }
    standing.description = describe(&row, report);
    standing.is_final = row.view.status.is_terminal();
    Ok(standing)
}

fn of_status(row: &RunRow) -> (State, Outcome) {
    let reason = || row.view.reason.clone().unwrap_or_else(|| "for a decision".to_owned());
    match row.view.status {
        RunStatus::Queued => (State::Pending, Outcome::Queued),
        RunStatus::Running => (State::Running, Outcome::Running),
        RunStatus::Waiting => (State::Pending, Outcome::Waiting { reason: reason() }),
        RunStatus::Success => (State::Success, Outcome::Success),
        RunStatus::Failed | RunStatus::TimedOut => (State::Failure, Outcome::Failed),
        RunStatus::Cancelled => (State::Cancelled, Outcome::Cancelled),
    }
}

fn describe(row: &RunRow, report: &PlanReport) -> String {
    let mut text = match &report.outcome {
        Outcome::Waiting { reason } => format!("waiting: {reason}"),
        Outcome::Queued
        | Outcome::Running
        | Outcome::Success
        | Outcome::Failed
        | Outcome::Cancelled
        | Outcome::Skipped { .. }
        | Outcome::Invalid { .. } => row.view.status.to_string(),
    };
    if let Some(took) = &report.took {
        text.push_str(&format!(" in {took}"));
    }
    if let Some(tests) = &report.tests {
        text.push_str(&format!(": tests {}", tests.counts));
    } else if let Some(step) = report.steps.first() {
        text.push_str(&format!(": {} {}", step.id, step.outcome));
    }
    text
}

fn tests(record: TestsRecord) -> TestsReport {
    TestsReport {
        counts: record.counts.words(),
        named: record.tests.iter().map(|test| test.words()).collect(),
        left_out: record.left_out,
    }
}

async fn failed_steps(store: &Store, id: &RunId) -> Result<Vec<StepReport>, Error> {
    let steps = store.runs().steps(id).await?.into_iter().map(|row| row.view);
    let failed = steps.filter(|view| match view.status {
        StepStatus::Failed | StepStatus::TimedOut => true,
        StepStatus::Pending
        | StepStatus::Queued
        | StepStatus::Running
        | StepStatus::Waiting
        | StepStatus::Success
        | StepStatus::Skipped
        | StepStatus::Cancelled => false,
    });
    Ok(failed
        .map(|view| {
            let why = view.reason.map_or_else(String::new, |reason| format!(": {reason}"));
            StepReport { id: view.step.to_string(), outcome: format!("{}{why}", view.status) }
        })
        .collect())
}

fn took(from: Option<Timestamp>, to: Option<Timestamp>) -> Option<String> {
    let seconds = to?.duration_since(from?).as_secs().max(0);
    Some(format!("{:#}", SignedDuration::from_secs(seconds)))
}
