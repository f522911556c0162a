//! `plue explain`: why a run or step did what it did, from its journal.

use plue_executor::Loaded;
use plue_flow::StepStatus;
use plue_plan::{RunId, StepId};
use plue_store::{LogRange, Store};

use super::one_run;
use crate::{
    app::App,
    args::{ExplainArgs, Format},
    exit::Exit,
    failure::{Failure, Outcome, from_executor, from_store},
    output,
    records::{
        AttemptRecord, RunRecord, SCHEMA_VERSION, StepRecord,
        story::{Explained, Moment, Story},
    },
    wiring,
};

mod journal;
mod told;

use journal::Journal;

/// Lines of a failed step's log that are shown.
const LAST_LINES: u64 = 10;

pub(super) fn run(args: &ExplainArgs, app: &App) -> Outcome {
    wiring::block_on(async {
        let store = wiring::open_existing(app).await?;
        let run = one_run(&store, &args.run).await?;
        let loaded = Loaded::read(&store, &run).await.map_err(|error| from_executor(&error))?;
        let only = args.step.as_deref().map(|step| super::logs::known_step(&loaded, step));
        let only = only.transpose()?;
        let document = explained(&store, &loaded, only.as_ref()).await?;
        match args.output {
            Format::Table => output::text(&told::told(&document, &loaded, app))?,
            Format::Json => output::pretty(&document)?,
            Format::Jsonl => document.steps.iter().try_for_each(output::json)?,
        }
        Ok(Exit::Ok)
    })
}

async fn explained(
    store: &Store,
    loaded: &Loaded,
    only: Option<&StepId>,
) -> Result<Explained, Failure> {
    let id = &loaded.row.id;
    let failed = |error: plue_store::Error| from_store(&error);
    let stored = store.load_run(id).await.map_err(failed)?;
    let facts = stored.map(|stored| stored.journal).unwrap_or_default();
    let journal = Journal::read(&facts, &loaded.plan);
    let rows = store.steps(id).await.map_err(failed)?;
    let notes = store.notes(id).await.map_err(failed)?;
    let mut steps = Vec::new();
    for step in loaded.plan.all_steps() {
        if only.is_some_and(|only| *only != step.id) {
            continue;
        }
        let Some(row) = rows.iter().find(|row| row.view.step == step.id) else { continue };
        let (conditions, mut events) = journal.of(&step.id);
        events.extend(
            notes
                .iter()
                .filter(|note| note.step == step.id)
                .map(|note| Moment { at: note.at.to_string(), what: note.text.clone() }),
        );
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
        let attempts = store.attempts(id, Some(&step.id)).await.map_err(failed)?;
        steps.push(Story {
            row: StepRecord::of(row),
            depends_on: journal::dependencies(&step.depends_on, &rows),
            conditions,
            tries: attempts.iter().map(AttemptRecord::of).collect(),
            events,
            blocked_by: journal::blocked_by(&step.id, &rows),
            last_lines,
        });
    }
    let next = next(loaded, &steps);
    Ok(Explained {
        schema_version: SCHEMA_VERSION,
        run: RunRecord::of(&loaded.row),
        events: journal.events,
        steps,
        next,
    })
}

async fn last_lines(store: &Store, run: &RunId, step: &StepId) -> Result<Vec<String>, Failure> {
    let failed = |error: plue_store::Error| from_store(&error);
    let attempts = store.attempts(run, Some(step)).await.map_err(failed)?;
    let Some(last) = attempts.iter().rev().find(|attempt| attempt.log_bytes > 0) else {
        return Ok(Vec::new());
    };
    let range = LogRange::Tail(LAST_LINES);
    let pieces = store.read_log(&last.claim.attempt, range).await.map_err(failed)?;
    let output = pieces.into_iter().filter(|piece| piece.stream.is_output());
    let bytes: Vec<u8> = output.flat_map(|piece| piece.bytes).collect();
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

/// Commands that help with what went wrong.
fn next(loaded: &Loaded, steps: &[Story]) -> Vec<String> {
    let run = &loaded.row.id;
    let status = loaded.row.view.status;
    let mut next = Vec::new();
    let with_log = steps.iter().filter(|story| !story.last_lines.is_empty());
    next.extend(with_log.take(3).map(|story| format!("plue logs {run} {}", story.row.step)));
    for waiting in loaded.run.waiting() {
        if let plue_flow::Awaited::Decision { .. } = waiting.what {
            next.push(format!("plue approve {run} {}", waiting.step));
            next.push(format!("plue reject {run} {}", waiting.step));
        }
    }
    if !status.is_terminal() {
        next.push(format!("plue logs {run} -f"));
        next.push(format!("plue cancel {run}"));
    } else if status != plue_flow::RunStatus::Success {
        next.push(format!("plue retry {run}"));
    }
    next
}
