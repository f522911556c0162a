//! Why a run and its steps are what they are, from the journal.
//!
//! The command line shows the same, with a server and without. Must not know how it is printed.

use jiff::tz::TimeZone;
use plue_flow::{Awaited, Run, RunStatus, StepStatus};
use plue_plan::{Plan, RunId, StepId};
use plue_store::{Error, LogRange, RunRow, RunSource, Store, deaths::MAX_DEATHS, group_name};

use crate::records::{
    RunRecord, StepRecord,
    story::{ExplainRecord, Moment, Story, TryRecord},
    told::CauseRecord,
};

mod journal;
pub mod words;

use journal::Journal;

/// Lines of a failed step's log that are shown.
const LAST_LINES: u64 = 10;
/// Bytes of them.
const LAST_BYTES: usize = 64 * 1024;

/// Runs of a list whose reasons are looked for: a few queries each.
const MAX_REASONS: usize = 20;

/// A run that was read.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its row.
    pub row: &'a RunRow,
    /// What it was made from.
    pub source: &'a RunSource,
    /// Its plan.
    pub plan: &'a Plan,
    /// Its journal, folded.
    pub run: &'a Run,
}

/// Tells a run: all steps, or only one. Times in words are told in this zone.
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
    let facts = store.load_run(id).await?.map(|stored| stored.journal).unwrap_or_default();
    let journal = Journal::read(&facts, plan, zone);
    let rows = store.steps(id).await?;
    let notes = store.notes(id).await?;
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
        let attempts = store.attempts(id, Some(&step.id)).await?;
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

/// The row of a run, with the reason of its wait if it is set aside, queued or running.
///
/// # Errors
/// [`Error`] of the database.
pub async fn with_reason(store: &Store, row: &RunRow) -> Result<RunRow, Error> {
    let mut row = row.clone();
    if row.is_set_aside() {
        row.view.reason = Some(format!(
            "set aside: {MAX_DEATHS} times in a row an engine died with it; go on with \
             `plue retry {0}` (with a server) or `plue resume {0}`, end it with `plue cancel {0}`",
            row.id
        ));
    } else if row.view.reason.is_none() {
        row.view.reason = match row.view.status {
            RunStatus::Queued => waits_queued(store, &row).await?,
            RunStatus::Running => waits_running(store, &row).await?,
            RunStatus::Waiting
            | RunStatus::Success
            | RunStatus::Failed
            | RunStatus::Cancelled
            | RunStatus::TimedOut => None,
        };
    }
    Ok(row)
}

/// The records of listed runs; the first 20 that wait say for what.
///
/// # Errors
/// [`Error`] of the database.
pub async fn listed(store: &Store, rows: &[RunRow]) -> Result<Vec<RunRecord>, Error> {
    let (mut records, mut asked) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        if row.view.status.is_terminal() || asked == MAX_REASONS {
            records.push(RunRecord::of(row));
        } else {
            asked += 1;
            records.push(RunRecord::of(&with_reason(store, row).await?));
        }
    }
    Ok(records)
}

/// The reason of a queued run's wait, in words.
async fn waits_queued(store: &Store, row: &RunRow) -> Result<Option<String>, Error> {
    if let Some(turn) = waits_for_turn(store, row).await? {
        return Ok(Some(turn));
    }
    if let Some(obstacle) = store.obstacle(&row.id).await? {
        return Ok(Some(obstacle));
    }
    let waits = store.waits_for_place(row).await?;
    Ok(waits.map(|waits| format!("waits for a place: {waits}")))
}

/// The reason of a running run's wait, in words: an obstacle to driving it, or a missing runner
/// while none of its steps is running.
async fn waits_running(store: &Store, row: &RunRow) -> Result<Option<String>, Error> {
    if let Some(obstacle) = store.obstacle(&row.id).await? {
        return Ok(Some(obstacle));
    }
    let waiting = store.step_without_runner(&row.id).await?;
    Ok(waiting.map(|(step, why)| format!("step `{step}` {why}")))
}

/// The run in front of it in its concurrency group, in words.
async fn waits_for_turn(store: &Store, row: &RunRow) -> Result<Option<String>, Error> {
    let Some(key) = store.group_of(&row.id).await? else { return Ok(None) };
    let members = store.group(&key).await?;
    let in_front = members.iter().take_while(|member| member.run != row.id).last();
    Ok(in_front.map(|front| {
        let group = group_name(row.repo.as_deref(), &key);
        format!("waits for its turn in the group `{group}` behind run {}", front.run)
    }))
}

async fn last_lines(store: &Store, run: &RunId, step: &StepId) -> Result<Vec<String>, Error> {
    let attempts = store.attempts(run, Some(step)).await?;
    let Some(last) = attempts.iter().rev().find(|attempt| attempt.log_bytes > 0) else {
        return Ok(Vec::new());
    };
    let pieces = store.read_log(&last.claim.attempt, LogRange::Tail(LAST_LINES)).await?;
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
