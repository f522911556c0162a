//! Explanation of the state of a run and its steps, from the journal.
//!
//! The command line shows the same, with a server and without. Must not print.

use jiff::tz::TimeZone;
use plue_flow::{Awaited, Run, RunStatus, StepStatus};
use plue_plan::{Plan, RunId, StepId};
use plue_store::{Error, LogRange, RunRow, RunSource, StepRow, Store};

use crate::records::{
    RunRecord, StepRecord,
    status::{CauseRecord, StatusRecord},
    story::{ExplainRecord, Moment, Story, TryRecord},
    test_results::TestsRecord,
};

mod journal;
mod waits;
pub mod words;

pub use waits::{listed, turn_of, with_reason};

use journal::Journal;

/// Lines of a failed step's log that are shown.
const LAST_LINES: u64 = 10;
/// Bytes of them.
const LAST_BYTES: usize = 64 * 1024;

/// A run that was read.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The row of the run in the database.
    pub row: &'a RunRow,
    /// The source that the plan was made from.
    pub source: &'a RunSource,
    /// The plan that the run executes.
    pub plan: &'a Plan,
    /// Its journal, folded into the state of the run.
    pub run: &'a Run,
}

/// Explains a run: all steps, or only one. Times in words are in this zone.
///
/// # Errors
/// Those of the database.
pub async fn explained(
    store: &Store,
    subject: Subject<'_>,
    only: Option<&StepId>,
    zone: &TimeZone,
) -> Result<ExplainRecord, Error> {
    let Subject { row: run, plan, .. } = subject;
    let id = &run.id;
    let facts = store.runs().load(id).await?.map(|stored| stored.journal).unwrap_or_default();
    let journal = Journal::read(&facts, plan, zone);
    let rows = store.runs().steps(id).await?;
    let notes = store.outputs().notes(id).await?;
    let mut steps = Vec::new();
    for step in plan.all_steps().filter(|step| only.is_none_or(|only| *only == step.id)) {
        let Some(row) = rows.iter().find(|row| row.view.step == step.id) else { continue };
        let (conditions, mut events) = journal.of(&step.id);
        let notes = notes.iter().filter(|note| note.step == step.id);
        events
            .extend(notes.map(|note| Moment { at: note.at.to_string(), what: note.text.clone() }));
        events.sort_by(|a, b| a.at.cmp(&b.at));
        let last_lines = match row.view.status {
            StepStatus::Failed | StepStatus::TimedOut => last_lines(store, id, &step.id).await?,
            StepStatus::Pending
            | StepStatus::Queued
            | StepStatus::Running
            | StepStatus::Waiting
            | StepStatus::Success
            | StepStatus::Skipped
            | StepStatus::Cancelled => Vec::new(),
        };
        let attempts = store.attempts().list(id, Some(&step.id)).await?;
        steps.push(Story {
            row: StepRecord::of(row).named(subject.run),
            depends_on: journal::dependencies(&step.depends_on, &rows),
            conditions,
            tries: attempts.iter().map(TryRecord::of).collect(),
            events,
            blocked_by: journal::blocked_by(&step.id, &rows),
            last_lines,
        });
    }
    Ok(ExplainRecord {
        run: RunRecord::of(&with_reason(store, run).await?),
        events: journal.events,
        next: next(subject, &steps),
        steps,
        source: subject.source.source.clone(),
        event: CauseRecord::of(&subject.source.event),
    })
}

/// A run as a whole: its steps, its outputs, its use of Claude, and all that it waits for.
///
/// `steps` are read before the journal of `subject`, and for a follower its row before both: a run that
/// waits has a step that waits, and that step waits for something in the journal. In another order a
/// follower stops before the command that answers a decision is shown.
///
/// # Errors
/// Those of the database.
pub async fn status(
    store: &Store,
    steps: Vec<StepRow>,
    subject: Subject<'_>,
) -> Result<StatusRecord, Error> {
    let Subject { row, source, plan, run } = subject;
    let waits = waits::of_run(store, row).await?;
    let notes = store.outputs().notes(&row.id).await?;
    let tests = TestsRecord::brief(store, &row.id).await?;
    let spends = store.claude().spend_of(&row.id).await?;
    let record = StatusRecord::of(&waits.row(row), source, plan, run, steps);
    Ok(record.with_notes(&notes).with_tests(tests).with_usage(&spends).with_waits(waits.records))
}

async fn last_lines(store: &Store, run: &RunId, step: &StepId) -> Result<Vec<String>, Error> {
    let attempts = store.attempts().list(run, Some(step)).await?;
    let Some(last) = attempts.iter().rev().find(|attempt| attempt.log_bytes > 0) else {
        return Ok(Vec::new());
    };
    let pieces = store.logs().read(&last.claim.attempt, LogRange::Tail(LAST_LINES)).await?;
    let output = pieces.into_iter().filter(|piece| piece.stream.is_output());
    let mut bytes: Vec<u8> = output.flat_map(|piece| piece.bytes).collect();
    // A line may be as long as a log.
    bytes.drain(..bytes.len().saturating_sub(LAST_BYTES));
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

/// Commands that help with what went wrong.
fn next(subject: Subject<'_>, steps: &[Story]) -> Vec<String> {
    let run = &subject.row.id;
    let status = subject.row.view.status;
    let mut next = Vec::new();
    let with_log = steps.iter().filter(|story| !story.last_lines.is_empty());
    next.extend(with_log.take(3).map(|story| format!("plue logs {run} {}", story.row.step)));
    for waiting in subject.run.waiting() {
        if let Awaited::Decision { .. } = waiting.what {
            next.push(format!("plue approve {run} {}", waiting.step));
            next.push(format!("plue reject {run} {}", waiting.step));
        } else if let Awaited::Call(asked) = waiting.what {
            let (step, call) = (&waiting.step, &asked.call);
            next.push(format!("plue approve {run} {step} --call {call}"));
            next.push(format!("plue reject {run} {step} --call {call}"));
        }
    }
    if !status.is_terminal() {
        next.push(format!("plue logs {run} -f"));
        next.push(format!("plue cancel {run}"));
    } else if status != RunStatus::Success {
        next.push(format!("plue retry {run}"));
    }
    next
}
